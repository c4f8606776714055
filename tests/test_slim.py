import numpy as np
import pytest
import tensorflow as tf

from nst_tf.features import slim_features, vgg19_features
from nst_tf.networks.slim import SLIM_FILE, read_slim
from nst_tf.objective import make_objective
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

pytestmark = pytest.mark.slim


def test_the_file_holds_all_sixteen_convolutions_of_vgg19_and_is_small():
    slim = read_slim()
    counts = (2, 2, 4, 4, 4)
    names = [f"block{block}_conv{number}" for block, count in enumerate(counts, 1) for number in range(1, count + 1)]
    assert list(slim.convolutions) == names
    assert SLIM_FILE.stat().st_size <= 4e6


def test_every_layer_has_vgg19s_size_and_says_by_how_many_channels_losses_divide(pair):
    names = [f"block{block}_{kind}" for block in range(1, 6) for kind in ("conv1", "conv2", "pool")]
    features = slim_features(names)(pair[0])
    expected = vgg19_features(names, weights=None)(pair[0])
    for layer in names:
        assert features[layer].shape[:3] == expected[layer].shape[:3]
        assert slim_features([layer]).channels[layer] == expected[layer].shape[-1]
        assert features[layer].shape[-1] < expected[layer].shape[-1]


def test_losses_divide_by_vgg19s_channels(pair):
    recipe = RECIPES["tf_tutorial"]
    extractor = slim_features(recipe.network.layers)
    noise = tf.random.stateless_uniform(pair[0].shape, (1, 2))
    losses = make_objective(recipe, extractor, *pair)(noise)
    layer = next(iter(recipe.network.content_layers))
    features, target = (extractor(image)[layer].numpy().astype(np.float64) for image in (noise, pair[0]))
    positions = np.prod(features.shape[1:3])
    expected = recipe.loss.content_weight * np.sum((features - target) ** 2) / (positions * 512)
    assert float(losses.content) == pytest.approx(expected, rel=1e-4)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "slim.npz"
    path.write_bytes(SLIM_FILE.read_bytes()[:1000])
    with pytest.raises(ValueError, match="install nst_tf again"):
        read_slim(path)


def test_a_transfer_with_the_slim_network_lowers_its_loss_and_says_so(pair):
    result = stylize(*pair, features="slim", steps=15)
    assert result.features == "slim"
    assert result.history["style"][-1] < 0.8 * result.history["style"][0]
