"""The slim network compared with VGG19."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY

from nst_tf import load_image
from nst_tf.features import slim_features, vgg19_features
from nst_tf.networks.weights import state_of_cache
from nst_tf.objective import make_objective
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

STUDIO = RECIPES["studio"]

pytestmark = pytest.mark.slim

PUBLISHED = [name for name in RECIPES if name != "studio"]
CONTENTS = ("astronaut", "chelsea", "coffee", "rocket")
STYLES = (
    "starry_night",
    "great_wave",
    "the_scream",
    "composition_vii",
    "portrait_of_metzinger",
    "mondrian_composition",
)
TEN_PAIRS = [(CONTENTS[i % 4], STYLES[i % 6]) for i in range(10)]
needs_vgg19 = pytest.mark.skipif(
    state_of_cache("vgg19") not in ("exact", "8 bits"), reason="VGG19's weights are not here: python -m nst_tf weights"
)


def load_pair(*names):
    folders = ("content", "style")
    paths = (REPOSITORY / "images" / folder / f"{name}.jpg" for folder, name in zip(folders, names, strict=True))
    return tuple(load_image(path, max_side=160) for path in paths)


@pytest.fixture(scope="module")
def ten_descents():
    """What a descent passes through, by pair: the picture after ten steps."""
    return {pair: tf.constant(stylize(*load_pair(*pair), features="slim", steps=10).image) for pair in TEN_PAIRS}


@needs_vgg19
@pytest.mark.parametrize(("content", "style"), TEN_PAIRS[:3])
def test_its_gradient_points_where_vgg19s_does(content, style, record_property):
    content_image, style_image = load_pair(content, style)
    gradients = []
    for extractor in (slim_features(STUDIO.network.layers), vgg19_features(STUDIO.network.layers)):
        with tf.GradientTape() as tape:
            tape.watch(content_image)
            total = make_objective(STUDIO, extractor, content_image, style_image)(content_image).total
        gradients.append(tf.reshape(tape.gradient(total, content_image), -1).numpy())
    one, other = gradients
    cosine = float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    record_property("cosine", cosine)
    assert cosine > 0.3


@needs_vgg19
@pytest.mark.parametrize("name", PUBLISHED)
def test_each_part_of_a_published_loss_is_of_the_order_of_vgg19s(name, ten_descents, record_property):
    recipe = RECIPES[name]
    options = recipe.network.options
    slim, vgg19 = slim_features(recipe.network.layers, **options), vgg19_features(recipe.network.layers, **options)
    ratios = {"content": [], "style": []}
    for pair, image in ten_descents.items():
        ours, theirs = (make_objective(recipe, network, *load_pair(*pair))(image) for network in (slim, vgg19))
        for part, values in ratios.items():
            values.append(float(getattr(ours, part)) / float(getattr(theirs, part)))
    for part, values in ratios.items():
        record_property(part, float(np.exp(np.mean(np.log(values)))))
        # Where a picture was made for it, the slim network sees less than VGG19 of what is wrong.
        assert 1 / 2.5 < np.exp(np.mean(np.log(values))) < 2.5, (part, values)
        assert max(values) < 4 and min(values) > 1 / 4, (part, values)
