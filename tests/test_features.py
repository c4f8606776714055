import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import features_written_out, small_network

from nst_tf.features import keras_features, preprocess, vgg16_features, vgg19_features
from nst_tf.networks import vgg
from nst_tf.networks.vgg import FrozenConvolution
from nst_tf.recipes import RECIPES

LAYERS = ["block1_conv1", "block2_pool", "block3_conv2"]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Keras's own VGG19 with weights of its own, and the file they are in."""
    keras.utils.set_random_seed(3)
    model = keras.applications.VGG19(include_top=False, weights=None)
    path = tmp_path_factory.mktemp("weights") / "vgg19.weights.h5"
    model.save_weights(path)
    return model, path


def test_features_equal_those_of_keras_own_model_on_the_same_weights(published, pair):
    model, path = published
    content, _ = pair
    features = vgg19_features(LAYERS, weights=path)(content)
    whole = keras.Model(model.input, [model.get_layer(layer).output for layer in LAYERS])
    expected = whole(keras.applications.vgg19.preprocess_input(content.numpy() * 255))
    assert list(features) == LAYERS
    for layer, values in zip(LAYERS, expected, strict=True):
        np.testing.assert_allclose(features[layer], values, rtol=1e-4, atol=1e-4)


def test_real_blocks_1_to_3_give_the_same_features_as_a_chain_written_out(real_weights, pair, tmp_path):
    model = keras.applications.VGG19(include_top=False, weights=None)
    for layer in model.layers:
        if f"{layer.name}/kernel" in real_weights:
            layer.set_weights([real_weights[f"{layer.name}/kernel"], real_weights[f"{layer.name}/bias"]])
    model.save_weights(tmp_path / "real.weights.h5")
    content, _ = pair
    features = vgg19_features(["block2_conv1", "block3_conv4"], weights=tmp_path / "real.weights.h5")(content)

    for name, expected in features_written_out(content, real_weights):
        if name in features:
            np.testing.assert_allclose(features[name], expected, rtol=1e-4, atol=1e-2)


def test_average_pooling_is_the_plain_mean(pair):
    content, _ = pair
    features = vgg19_features(["block1_conv2", "block1_pool"], weights=None, pooling="average")(content)
    before = features["block1_conv2"].numpy()
    blocks = before.reshape(1, 24, 2, 32, 2, 64)
    np.testing.assert_allclose(features["block1_pool"], blocks.mean(axis=(2, 4)), rtol=1e-5, atol=1e-6)


def test_network_ends_at_the_deepest_layer_asked_for():
    extractor = vgg19_features(["block2_conv1"], weights=None)
    assert extractor.model.layers[-1].name == "block2_conv1"
    assert not extractor.model.trainable_weights


def test_random_weights_are_the_same_each_time_and_leave_the_global_seed_alone(pair):
    keras.utils.set_random_seed(5)
    expected = np.random.uniform()
    keras.utils.set_random_seed(5)
    first, second = (vgg19_features(LAYERS, weights=None)(pair[0]) for _ in range(2))
    assert np.random.uniform() == expected
    np.testing.assert_array_equal(first["block3_conv2"], second["block3_conv2"])
    assert first["block3_conv2"].numpy().std() > 0.01


def test_vgg16_has_its_own_layers(pair):
    assert vgg16_features(["block3_conv3"], weights=None)(pair[0])["block3_conv3"].shape == (1, 12, 16, 256)
    with pytest.raises(ValueError, match="block3_conv3, block3_pool"):
        vgg16_features(["block3_conv4"], weights=None)


@pytest.mark.parametrize(("word", "module"), [("caffe", "vgg19"), ("tf", "mobilenet_v2"), ("torch", "densenet")])
def test_preprocessing_equals_keras_own_of_that_name(pair, word, module):
    content, _ = pair
    expected = getattr(keras.applications, module).preprocess_input(content.numpy() * 255)
    np.testing.assert_allclose(preprocess(content, word), expected, atol=2e-4)


def test_preprocessing_none_changes_nothing(pair):
    np.testing.assert_array_equal(preprocess(pair[0], "none"), pair[0])


def test_any_keras_model_serves_and_is_not_changed(pair):
    image = keras.Input((None, None, 3))
    halved = keras.layers.AveragePooling2D(2, name="halved")(image)
    model = keras.Model(image, keras.layers.Conv2D(4, 1, name="mixed")(halved))
    extractor = keras_features(model, ["halved"], preprocessing="none")
    expected = pair[0].numpy().reshape(1, 24, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(extractor(pair[0])["halved"], expected, rtol=1e-5)
    assert model.trainable
    with pytest.raises(ValueError, match="halved, mixed"):
        keras_features(model, ["block1_conv1"], preprocessing="none")


@pytest.mark.parametrize(
    "options",
    [
        {"layers": []},
        {"layers": ["block9_conv1"]},
        {"pooling": "medium"},
        {"preprocessing": "photoshop"},
        {"weights": "no-such-file.h5"},
    ],
)
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError):
        vgg19_features(**{"layers": ["block1_conv1"], "weights": None, **options})


def test_a_file_without_the_weights_is_refused_by_name(tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(ValueError, match=r"other\.weights\.h5.*VGG19"):
        vgg19_features(["block1_conv1"], weights=path)


@pytest.mark.parametrize(
    ("machine", "instructions", "onednn", "mirrored"),
    [
        ("x86_64", {"avx2"}, True, True),
        ("AMD64", set(), True, True),
        ("x86_64", {"avx2", "avx512f"}, True, False),
        ("x86_64", {"avx2"}, False, False),
        ("arm64", set(), True, False),
    ],
)
def test_convolutions_are_mirrored_with_onednn_on_x86_without_avx_512(
    monkeypatch, machine, instructions, onednn, mirrored
):
    monkeypatch.setattr(vgg.platform, "machine", lambda: machine)
    monkeypatch.setattr(vgg, "processor", lambda: ("made up", frozenset(instructions)))
    monkeypatch.setattr(vgg, "onednn_is_on", lambda: onednn)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert vgg._gradients_are_faster.__wrapped__() is mirrored


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("mirrored", [True, False])
def test_a_frozen_convolution_is_keras_own_and_so_is_its_gradient(monkeypatch, generator, padding, mirrored):
    monkeypatch.setattr("nst_tf.networks.vgg._gradients_are_faster", lambda: mirrored)
    features = tf.constant(generator.normal(size=(2, 9, 12, 5)).astype(np.float32))
    weights = [generator.normal(size=shape).astype(np.float32) for shape in ((3, 3, 5, 7), (7,))]
    results = []
    for kind in (keras.layers.Conv2D, FrozenConvolution):
        layer = kind(7, 3, padding=padding, activation="relu")
        layer.build(features.shape)
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(features)
            output = layer(features)
            total = tf.reduce_sum(tf.sin(output))
        results.append((output, tape.gradient(total, features)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)


def test_the_last_pixels_of_an_odd_side_are_seen(generator):
    recipe = RECIPES["studio"]
    network = small_network(recipe.network.layers, **recipe.network.options)
    picture = tf.Variable(generator.uniform(size=(1, 71, 75, 3)).astype(np.float32))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(network(picture)["block5_conv1"])
    gradient = np.abs(tape.gradient(total, picture)[0]).sum(axis=-1)
    assert gradient[-4:].mean() > 0.2 * gradient[:4].mean()
    assert gradient[:, -4:].mean() > 0.2 * gradient[:, :4].mean()
