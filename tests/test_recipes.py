import numpy as np
import pytest
from conftest import small_network

import nst_tf
from nst_tf.features import slim_features
from nst_tf.objective import make_objective
from nst_tf.recipes import RECIPES, find_recipe, make_recipe
from nst_tf.transfer import stylize

STUDIO, GRAM = RECIPES["studio"], RECIPES["gram"]


def relative_gram_distance(features, target):
    grams = []
    for array in (features, target):
        flat = array.numpy().astype(np.float64).reshape(-1, array.shape[-1])
        grams.append(flat.T @ flat / len(flat))
    return np.sum((grams[0] - grams[1]) ** 2) / np.sum(grams[1] ** 2)


def relative_distance(features, target):
    features, target = (array.numpy().astype(np.float64) for array in (features, target))
    return np.sum((features - target) ** 2) / np.sum(target**2)


@pytest.fixture(params=["small", "slim"])
def extractor(request, pair):
    if request.param == "small":
        return small_network(GRAM.network.layers)
    return slim_features(GRAM.network.layers, border=GRAM.network.border)


@pytest.mark.slim
def test_studio_losses_equal_their_formulas_in_float64(extractor, pair, generator):
    content_image, style_image = pair
    image = generator.uniform(size=content_image.shape).astype(np.float32)
    losses = make_objective(GRAM, extractor, content_image, style_image)(image)
    of_image, of_content, of_style = extractor(image), extractor(content_image), extractor(style_image)

    content = sum(
        weight * relative_distance(of_image[layer], of_content[layer])
        for layer, weight in GRAM.network.content_layers.items()
    )
    style = 0.0
    for layer, weight in GRAM.network.style_layers.items():
        style += weight * relative_gram_distance(of_image[layer], of_style[layer])
    assert float(losses.content) == pytest.approx(GRAM.loss.content_weight * content, rel=1e-4)
    assert float(losses.style) == pytest.approx(GRAM.loss.style_weight * style, rel=1e-4)
    assert float(losses.total) == pytest.approx(float(losses.content + losses.style + losses.total_variation), rel=1e-5)


def test_content_loss_is_zero_at_the_content_image_and_style_loss_at_the_style_image(extractor, pair):
    content_image, style_image = pair
    assert float(make_objective(GRAM, extractor, content_image, style_image)(content_image).content) == 0
    same = make_objective(GRAM, extractor, style_image, style_image)(style_image)
    assert float(same.style) == pytest.approx(0, abs=1e-9)


def test_recipe_names_every_layer_once():
    recipe = GRAM.changed(content_layers={"block1_conv1": 1.0})
    assert recipe.network.layers == ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1", "block5_conv1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style_weight": -1.0}, "style_weight"),
        ({"content_layers": {"block1_conv1": float("nan")}}, "content_layers"),
        ({"total_variation_weight": float("inf")}, "total_variation_weight"),
        ({"style_form": "medium"}, "quarter_mean"),
        ({"start": "middle"}, "noise"),
        ({"steps": 0}, "at least 1"),
        ({"method": "newton"}, "adam, lbfgs"),
        ({"color": "luminance", "style_weight": 0.0}, "color='luminance' needs a style_weight above 0"),
        ({"style_size": "content", "style_scale": 2.0}, "style_scale has no effect"),
        ({"clip": "false"}, "expected True or False"),
        ({"growth": "2"}, "growth is '2'"),
        ({"published_steps": "x"}, "published_steps is 'x'"),
        ({"optimizer": "adam"}, "expected an nst_tf.Optimizer"),
        ({"style_layers": 5}, "names of layers"),
        ({"content_layers": None}, "names of layers"),
        ({"content_layers": [5]}, "names the layer 5"),
        ({"style_weight": 10**400}, "at most 1.79769e\\+308"),
        ({"size": 1e300}, "expected at most 2147483647"),
        ({"style_layers": []}, "style would count for nothing"),
        ({"content_layers": {"block4_conv2": 0.0}}, "content would count for nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        STUDIO.changed(**change)


def test_unknown_recipe_is_refused_with_those_that_exist():
    assert find_recipe("studio") is STUDIO
    assert find_recipe(STUDIO) is STUDIO
    with pytest.raises(ValueError, match="studio"):
        find_recipe("mystery")


def test_layers_steps_and_seeds_are_taken_as_tutorials_write_them(pair):
    recipe = make_recipe(name="x", title="x", content_layers=["block4_conv2"], style_layers="block1_conv1")
    assert recipe.network.content_layers == {"block4_conv2": 1.0}
    assert STUDIO.changed(style_layers=["a", "b"]).network.style_layers == {"a": 0.5, "b": 0.5}
    assert stylize(*pair, features=small_network(STUDIO.network.layers), steps=2.0, seed=None).steps == 2
    assert nst_tf.Job("a.png", "b.png").styles == ["b.png"]
