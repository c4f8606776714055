import numpy as np
import pytest
import tensorflow as tf
from conftest import REPOSITORY, features_written_out, striped_picture

import nst_tf
from nst_tf import offline
from nst_tf.losses import gram_matrix
from nst_tf.offline import ACTIVATION_SIZES, BORDER, WIDTHS, offline_features

LAYERS = ["block1_conv1", "block2_conv2", "block3_conv4", "block4_conv2", "block5_conv1"]


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(1)
    noise = tf.constant(generator.uniform(size=(1, 40, 56, 3)).astype(np.float32))
    return [noise, tf.constant(striped_picture(48, 40))]


@pytest.fixture(scope="module")
def extractor(pictures):
    return offline_features(pictures, LAYERS)


def test_every_block_halves_the_size_and_has_its_width(extractor, pictures):
    features = extractor(pictures[0])
    for block, layer in enumerate(LAYERS):
        assert features[layer].shape == (1, 40 // 2**block, 56 // 2**block, WIDTHS[block])


def test_every_name_of_vgg19_is_understood_and_others_are_refused(pictures):
    names = [
        f"block{block}_{part}"
        for block, convolutions in enumerate((2, 2, 4, 4, 4), start=1)
        for part in (*(f"conv{number}" for number in range(1, convolutions + 1)), "pool")
    ]
    features = offline_features(pictures, names)(pictures[1])
    assert set(names) <= set(features)
    np.testing.assert_array_equal(features["block3_conv1"], features["block3_conv4"])
    for name in ("block6_conv1", "block1_conv3", "conv1", ""):
        with pytest.raises(ValueError, match="no layer"):
            offline_features(pictures, [name])


def test_no_layer_at_all_is_refused(pictures):
    with pytest.raises(ValueError, match="at least one"):
        offline_features(pictures, [])


def test_the_same_seed_gives_the_same_features_and_another_seed_others(extractor, pictures):
    again, other = offline_features(pictures, LAYERS), offline_features(pictures, LAYERS, seed=1)
    for layer in LAYERS:
        expected = extractor(pictures[0])[layer]
        np.testing.assert_array_equal(again(pictures[0])[layer], expected)
        assert np.abs(other(pictures[0])[layer] - expected).max() > 0.1


@pytest.mark.parametrize(("height", "rows"), [(2, 2), (3, 2), (9, 4), (12, 4), (13, 6), (13, 100)])
def test_a_block_gives_the_same_in_strips_of_any_height(generator, monkeypatch, height, rows):
    block_input = generator.uniform(size=(1, height, 11, 3)).astype(np.float32)
    kernel, bias = generator.normal(size=(3, 3, 3, 4)).astype(np.float32), np.zeros(4, np.float32)
    at_once = tf.nn.relu(tf.nn.conv2d(np.pad(block_input, BORDER, "edge"), kernel, 1, "VALID"))
    monkeypatch.setattr(offline, "STRIP_NUMBERS", rows * 11 * 4)
    expected = tf.nn.avg_pool2d(at_once, 2, 2, "VALID")
    np.testing.assert_allclose(offline._block(block_input, kernel, bias), expected, rtol=1e-5, atol=1e-5)


def test_filters_are_learned_from_the_pictures(pictures):
    from_noise = offline_features(pictures[:1], ["block1_conv1"]).model.get_layer("block1_conv1").get_weights()[0]
    from_stripes = offline_features(pictures[1:], ["block1_conv1"]).model.get_layer("block1_conv1").get_weights()[0]
    assert abs(np.corrcoef(from_noise.ravel(), from_stripes.ravel())[0, 1]) < 0.5


def test_units_fire_about_half_the_time_with_an_energy_of_one_half(extractor, pictures):
    # Mean 0 and variance 1 before the ReLU, over the patches of both pictures.
    for layer in LAYERS[:3]:
        answers = np.concatenate([extractor(picture)[layer].numpy().reshape(-1) for picture in pictures])
        assert 0.15 < np.mean(answers**2) < 1.0
        assert 0.2 < np.mean(answers > 0) < 0.8


def test_network_is_frozen(extractor):
    assert not extractor.model.trainable_weights


def test_colour_companion_holds_mean_and_covariance_of_the_colours(extractor, pictures):
    companion = extractor.companions["block1_conv1"]
    gram = gram_matrix(extractor(pictures[0])[companion])[0].numpy()
    colours = pictures[0].numpy().reshape(-1, 3)
    np.testing.assert_allclose(gram[:3, 3], colours.mean(axis=0), rtol=1e-4)
    covariance = gram[:3, :3] - np.outer(gram[:3, 3], gram[:3, 3])
    np.testing.assert_allclose(covariance, np.cov(colours.T, bias=True), atol=1e-4)


def test_a_flat_picture_teaches_nothing_but_does_no_harm():
    flat = tf.fill((1, 32, 32, 3), 0.5)
    features = offline_features([flat, flat], LAYERS)(flat)
    assert all(np.isfinite(values).all() for values in features.values())


def test_imitated_features_have_the_size_of_trained_vgg19s(pictures):
    plain = offline_features(pictures, ["block3_conv4", "block5_conv4"])(pictures[0])
    caffe, unit = (
        offline_features(pictures, ["block3_conv4", "block5_conv4"], imitate=word)(pictures[0])
        for word in ("caffe", "none")
    )
    np.testing.assert_allclose(caffe["block3_conv4"], plain["block3_conv4"] * 1000, rtol=1e-5)
    np.testing.assert_allclose(caffe["block5_conv4"], unit["block5_conv4"] * 255, rtol=1e-4)
    with pytest.raises(ValueError, match="caffe"):
        offline_features(pictures, ["block1_conv1"], imitate="photoshop")


def test_imitated_sizes_are_those_of_the_real_blocks(real_weights):
    picture = nst_tf.load_image(REPOSITORY / "images" / "content" / "street.jpg", max_side=160)
    for name, features in features_written_out(picture, real_weights):
        stated = ACTIVATION_SIZES[int(name[5]) - 1][int(name[-1]) - 1]
        assert stated / 2 < float(tf.sqrt(tf.reduce_mean(features**2))) < stated * 2, name
