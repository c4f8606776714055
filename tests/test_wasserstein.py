"""The Wasserstein style loss, the way from coarse to fine, and averaged pictures."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from conftest import descend, finite_difference, small_network, smooth_picture, striped_picture

from nst_tf.controls.scene import Scene
from nst_tf.controls.styles import Style
from nst_tf.engine.keras_solver import KerasSolver, keras_optimizer
from nst_tf.engine.run import with_last_steps
from nst_tf.engine.tiles import Tiles
from nst_tf.losses import gram_matrix, style_loss, with_ones
from nst_tf.networks.gaussians import SMALLEST_VARIANCE, gaussian_of, squared_wasserstein
from nst_tf.objective import Objective, make_objective
from nst_tf.published.explain import explain
from nst_tf.published.sources import Optimizer
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

RECIPE = RECIPES["wasserstein"]
SMALL = RECIPE.changed(coarsest=None)


def moments(features):
    return gram_matrix(with_ones(features))


def drawn_features(generator, channels=6, positions=(9, 11)):
    mixed = generator.normal(size=(1, *positions, channels)) @ generator.normal(size=(channels, channels))
    return np.maximum(mixed + generator.normal(size=channels), 0)


def distance_by_scipy(features, others):
    """The formula as it stands, by SciPy's root of a matrix."""
    (mean, covariance), (other_mean, other) = (
        (part.mean(0), np.cov(part.T, ddof=0) + SMALLEST_VARIANCE * np.eye(part.shape[-1]))
        for part in (features.reshape(-1, features.shape[-1]), others.reshape(-1, others.shape[-1]))
    )
    root = scipy.linalg.sqrtm(other)
    cross = scipy.linalg.sqrtm(root @ covariance @ root).real
    return np.sum((mean - other_mean) ** 2) + np.trace(covariance + other - 2 * cross)


def test_the_distance_is_scipys(generator):
    features, others = drawn_features(generator), drawn_features(generator, positions=(7, 5))
    found = squared_wasserstein(moments(features), gaussian_of(moments(others))).numpy()
    np.testing.assert_allclose(found, distance_by_scipy(features, others), rtol=1e-8)


def test_on_features_in_float32_it_agrees_with_float64(real_weights):
    weights = {name: values for name, values in real_weights.items() if name.startswith("block1_conv1")}

    def features(picture):
        caffe = picture[..., ::-1] * 255 - np.array([103.939, 116.779, 123.68], np.float32)
        return tf.nn.relu(tf.nn.conv2d(caffe, weights["block1_conv1/kernel"], 1, "SAME") + weights["block1_conv1/bias"])

    one, other = features(smooth_picture(48, 64)), features(striped_picture(56, 48))
    found = squared_wasserstein(moments(one), gaussian_of(moments(other))).numpy()[0]
    expected = distance_by_scipy(one.numpy().astype(np.float64), other.numpy().astype(np.float64))
    assert found == pytest.approx(expected, rel=1e-3)


def test_its_gradient_is_that_of_finite_differences(generator):
    features, others = drawn_features(generator), drawn_features(generator)
    variable = tf.Variable(features)
    with tf.GradientTape() as tape:
        loss = style_loss(moments(variable), moments(others), form="wasserstein")
    gradient = tape.gradient(loss, variable).numpy()
    for index in [(0, 0, 0, 0), (0, 4, 5, 2), (0, 8, 10, 5)]:
        numeric = finite_difference(
            lambda x: float(style_loss(moments(x), moments(others), form="wasserstein")), features, index
        )
        assert gradient[index] == pytest.approx(numeric, rel=1e-4, abs=1e-9)


def test_it_is_nothing_at_the_target_and_has_no_gradient_there(generator):
    features = tf.Variable(drawn_features(generator))
    with tf.GradientTape() as tape:
        loss = style_loss(moments(features), moments(features.numpy()), form="wasserstein")
    assert float(loss) == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(tape.gradient(loss, features), 0, atol=1e-8)


def test_it_is_symmetric(generator):
    one, other = moments(drawn_features(generator)), moments(drawn_features(generator))
    np.testing.assert_allclose(
        squared_wasserstein(one, gaussian_of(other)), squared_wasserstein(other, gaussian_of(one)), rtol=1e-9
    )


def test_with_fewer_positions_than_channels_the_gradient_is_that_of_float64(generator):
    # Of 64 channels 44 directions are empty, and float32 fills them with rounding.
    features = np.abs(1000 * generator.normal(size=(1, 4, 5, 64)))
    target = moments(np.abs(1000 * generator.normal(size=(1, 30, 30, 64))))
    variable = tf.Variable(features, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = style_loss(moments(variable), target, form="wasserstein")
    gradient = tape.gradient(loss, variable).numpy()
    for _ in range(3):
        way = generator.normal(size=features.shape)
        ahead, behind = (distance_of(features + step * way, target) for step in (1e-2, -1e-2))
        assert np.sum(gradient * way) == pytest.approx((ahead - behind) / 2e-2, rel=0.02)


def distance_of(features, target):
    return float(style_loss(moments(features), target, form="wasserstein"))


def test_features_without_any_variance_give_a_number_and_a_gradient():
    features = tf.Variable(tf.zeros((1, 4, 4, 3)))
    with tf.GradientTape() as tape:
        loss = style_loss(moments(features), moments(tf.ones((1, 4, 4, 3))), form="wasserstein")
    assert float(loss) == pytest.approx(1.0, rel=1e-5)
    assert np.isfinite(tape.gradient(loss, features)).all()


def test_what_is_not_a_number_is_no_error():
    assert np.isnan(
        style_loss(moments(tf.fill((1, 4, 4, 3), np.nan)), moments(tf.ones((1, 4, 4, 3))), form="wasserstein")
    )


def test_the_mean_counts_where_the_gram_matrix_forgets_it():
    # One channel: −1 and 1 have the Gram matrix of 1 and 1.
    one, other = (tf.constant(values, tf.float64, (1, 1, 2, 1)) for values in ([-1, 1], [1, 1]))
    assert float(style_loss(gram_matrix(one), gram_matrix(other))) == 0
    # |0 − 1|² + (1 − 0)², but for the smallest variance.
    assert float(style_loss(moments(one), moments(other), form="wasserstein")) == pytest.approx(2, abs=0.05)


def test_relative_is_one_for_a_picture_without_features(generator):
    others = drawn_features(generator)
    loss = style_loss(moments(np.zeros_like(others)), moments(others), form="relative_wasserstein")
    assert float(loss) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("masked", [False, True])
def test_tiles_give_the_losses_and_the_gradient_of_the_whole(masked):
    content, style = tf.constant(smooth_picture(96, 128)), tf.constant(striped_picture(96, 80))
    mask = np.zeros((96, 128), np.float32)
    mask[:, :70] = 1
    scene = Scene.of(SMALL, content, Style(style, 1.0, mask if masked else None))
    network = small_network(SMALL.network.layers, **SMALL.network.options)
    results = []
    for objective in (Objective(SMALL, network), Tiles(SMALL, network, 64)):
        targets = objective.find_targets(content, scene.styles)
        losses, gradient = objective.losses_and_gradient(0.9 * content, targets)
        results.append((np.array(losses), gradient.numpy()))
    (whole, gradient), (tiled, tiled_gradient) = results
    np.testing.assert_allclose(tiled, whole, rtol=1e-4)
    np.testing.assert_allclose(tiled_gradient, gradient, atol=2e-4 * np.abs(gradient).max())


def test_a_blend_of_two_styles_has_the_moments_of_both_together(pair):
    content, style = pair
    extractor = small_network(SMALL.network.layers, **SMALL.network.options)
    twice = make_objective(SMALL, extractor, content, [style, style])
    np.testing.assert_allclose(twice(content), make_objective(SMALL, extractor, content, style)(content), rtol=1e-5)


def test_sizes_grow_from_the_coarsest_to_the_whole(pair):
    content, style = tf.constant(smooth_picture(384, 512)), pair[1]
    scenes = Scene.of(RECIPE, content, style).sizes()
    assert [max(scene.content_image.shape[1:3]) for scene in scenes] == [128, 181, 256, 362, 512]
    assert scenes[-1].content_image is not scenes[0].content_image
    # 1000 at the first and 500 at each other, as published.
    assert [last_step for _, last_step in with_last_steps(scenes, 3000)] == [1000, 1500, 2000, 2500, 3000]
    assert with_last_steps(scenes, 7)[-1][1] == 7


def test_a_given_start_stays_at_one_size(pair):
    content, style = tf.constant(smooth_picture(256, 256)), pair[1]
    assert len(Scene.of(RECIPE, content, style, start=content).sizes()) == 1


def test_masks_and_colors_go_through_all_sizes():
    content, style = tf.constant(smooth_picture(96, 128)), tf.constant(striped_picture(96, 80))
    mask = np.zeros((96, 128), np.float32)
    mask[:, :70] = 1
    seen = []
    network = small_network(SMALL.network.layers, **SMALL.network.options)
    result = stylize(
        content, Style(style, content_mask=mask), recipe=SMALL.changed(coarsest=64, growth=2.0), features=network,
        steps=9, callback=lambda step: seen.append(step.image().shape[2]),
    )  # fmt: skip
    assert sorted(set(seen)) == [64, 128]
    assert result.steps == 9
    assert len(result.history["total"]) == 10
    np.testing.assert_allclose(result.image[:, :, 70:], content[:, :, 70:], atol=1e-6)


def test_a_run_interrupted_at_a_small_size_returns_a_whole_picture_and_goes_on(tmp_path):
    content, style = tf.constant(smooth_picture(96, 128)), tf.constant(striped_picture(96, 80))
    network = small_network(SMALL.network.layers, **SMALL.network.options)
    options = {"recipe": SMALL.changed(coarsest=64, growth=2.0), "features": network, "steps": 12}
    whole = stylize(content, style, **options)

    def stop(step):
        if step.step >= 3:
            raise KeyboardInterrupt

    part = stylize(content, style, checkpoint=tmp_path / "run.nst", callback=stop, **options)
    assert part.status == "interrupted"
    assert part.image.shape == content.shape
    resumed = stylize(content, style, resume=tmp_path / "run.nst", **options)
    np.testing.assert_array_equal(resumed.image, whole.image)
    np.testing.assert_array_equal(resumed.history["total"], whole.history["total"])


def test_the_average_of_pictures_has_no_bias_toward_black():
    target = tf.constant(smooth_picture(32, 32))
    published = Optimizer(name="adam", learning_rate=0.01, averaging=0.9)
    start = tf.fill(target.shape, 0.5)
    solver = KerasSolver(start, 5, clip=True, optimizer=keras_optimizer(published), averaging=0.9)
    seen = []
    for _ in range(5):
        descend(solver, lambda image, _: (tf.reduce_sum(tf.square(image - target)),), 1)
        seen.append(solver.image.numpy())
    weights = 0.9 ** np.arange(4, -1, -1)
    expected = np.tensordot(weights / weights.sum(), np.stack(seen), 1)
    np.testing.assert_allclose(solver.best.image, expected, atol=1e-6)


def test_explained_with_its_formula_and_its_sizes():
    text = explain(RECIPE, plain=True)
    assert "tr(S + S'" in text
    assert "from 128 pixels on, each size 1.41 times the one before" in text
    assert "averaged by 0.99" in text
