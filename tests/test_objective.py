"""The objective in float64, on features that need no network: its terms by their formulas, and its gradient."""

import numpy as np
import pytest
import tensorflow as tf
from conftest import finite_difference

from nst_tf.controls.styles import Style, as_styles
from nst_tf.objective import Objective
from nst_tf.recipes import RECIPES

RECIPE = RECIPES["studio"].changed(
    content_layers={"two": 0.7, "one": 0.2},
    style_layers={"one": 0.3, "two": 0.6},
    content_weight=2.0,
    style_weight=3.0,
    content_form="half_sum",
    style_form="keras",
    total_variation_weight=0.5,
    total_variation_units="unit",
)


class Products:
    """Stands where a network does: products of an image's channels, at two sizes, in the image's precision."""

    def __init__(self):
        self.channels = {}

    def __call__(self, image):
        products = image * tf.roll(image, 1, axis=-1)
        return {"one": products, "two": tf.nn.avg_pool2d(products**2, 2, 2, "VALID")}


@pytest.fixture
def images(generator):
    """A content image, a style image of another size, and an image to evaluate, in float64."""
    content, image = generator.uniform(size=(2, 1, 32, 40, 3))
    return content, generator.uniform(size=(1, 36, 33, 3)), image


@pytest.fixture
def held(generator):
    """An image to be held to, and how firmly at each pixel."""
    return generator.uniform(size=(1, 32, 40, 3)), generator.uniform(size=(1, 32, 40, 1))


def objective_and_targets(images, **changes):
    content, style = map(tf.constant, images[:2])
    objective = Objective(RECIPE, Products())
    return objective, objective.find_targets(content, as_styles(style, content), **changes)


def total_of(objective, targets):
    return lambda array: float(objective.losses(tf.constant(array), targets).total)


def test_the_gradient_is_that_of_finite_differences_where_the_image_is_held_too(images, held):
    objective, targets = objective_and_targets(images, held=tuple(map(tf.constant, held)))
    losses, gradient = objective.losses_and_gradient(tf.constant(images[2]), targets)
    distance = (held[1] * (images[2] - held[0]) ** 2).sum()
    assert float(losses.total - sum(losses[1:])) == pytest.approx(distance, rel=1e-9)
    for index in [(0, 0, 0, 0), (0, 15, 20, 1), (0, 31, 39, 2)]:
        slope = finite_difference(total_of(objective, targets), images[2], index)
        assert float(gradient[index]) == pytest.approx(slope, rel=1e-6)


def test_the_held_term_alone_pulls_straight_to_where_the_image_is_held(images, held):
    free, alone = (objective_and_targets(images, held=h) for h in (None, tuple(map(tf.constant, held))))
    image = tf.constant(images[2])
    pull = alone[0].losses_and_gradient(image, alone[1])[1] - free[0].losses_and_gradient(image, free[1])[1]
    np.testing.assert_allclose(pull, 2 * held[1] * (images[2] - held[0]), rtol=1e-9, atol=1e-12)


def test_a_gray_image_has_a_third_of_the_gradient_of_its_brightness_in_each_channel(images):
    objective, targets = objective_and_targets(images, gray=True)
    _, gradient = objective.losses_and_gradient(tf.constant(images[2]), targets)
    np.testing.assert_array_equal(gradient[..., 0], gradient[..., 1])
    np.testing.assert_array_equal(gradient[..., 0], gradient[..., 2])
    for pixel in [(0, 0, 0), (0, 31, 39)]:
        slope = finite_difference(total_of(objective, targets), images[2], pixel)  # of all three channels at once
        assert 3 * float(gradient[pixel][0]) == pytest.approx(slope, rel=1e-6)


def test_each_region_counts_by_the_weight_of_its_style_and_the_positions_it_covers(images):
    content, style, image = map(tf.constant, images)
    left = np.zeros((32, 40), np.float32)
    left[:, :16] = 1
    styles = [Style(style, 2.0, left), Style(style[:, ::-1] ** 2, 0.5, 1 - left)]
    recipe = RECIPE.changed(style_layers={"one": 0.3}, style_form="mean")
    objective = Objective(recipe, Products())
    targets = objective.find_targets(content, as_styles(styles, content))
    regions = tf.nest.map_structure(lambda part: tf.cast(part, tf.float64), targets.regions)  # masks are in float32
    losses = objective.losses(image, targets._replace(regions=regions))

    def gram(features):
        flat = features.numpy().reshape(-1, 3)
        return flat.T @ flat / len(flat)

    features = Products()(image)["one"]
    distances = [
        np.mean((gram(part) - gram(Products()(painted.image)["one"])) ** 2)
        for part, painted in zip((features[:, :, :16], features[:, :, 16:]), styles, strict=True)
    ]
    expected = 3.0 * 0.3 * (2.0 * 0.4 * distances[0] + 0.5 * 0.6 * distances[1])
    assert float(losses.style) == pytest.approx(expected, rel=1e-6)
