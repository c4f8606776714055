import numpy as np
import pytest
import tensorflow as tf
from conftest import finite_difference

from nst_tf.losses import (
    CONTENT_FORMS,
    STYLE_FORMS,
    TOTAL_VARIATION_FORMS,
    content_loss,
    gram_matrix,
    style_loss,
    total_variation_loss,
)

POSITIONS, PIXELS = 12, 48


def gram_by_loops(features):
    """Every pair of channels, one position after another, in float64."""
    _, height, width, channels = features.shape
    gram = np.zeros((channels, channels))
    for row in range(height):
        for column in range(width):
            gram += np.outer(features[0, row, column], features[0, row, column])
    return gram


def test_gram_matrix_equals_the_sum_over_positions_in_float64(generator):
    features = generator.normal(size=(1, 5, 7, 6))
    np.testing.assert_allclose(gram_matrix(features, normalize=False)[0], gram_by_loops(features), rtol=1e-12)
    np.testing.assert_allclose(gram_matrix(features)[0], gram_by_loops(features) / 35, rtol=1e-12)


def test_gram_matrix_of_the_4_by_4_by_8_example_is_8_by_8_with_each_dot_product_in_its_place(generator):
    features = generator.integers(0, 5, size=(1, 4, 4, 8)).astype(np.float32)
    gram = gram_matrix(features, normalize=False).numpy()
    assert gram.shape == (1, 8, 8)
    fourth_map, second_map = features[0, :, :, 3].ravel(), features[0, :, :, 1].ravel()
    assert gram[0, 3, 1] == np.dot(fourth_map, second_map)


def test_gram_matrix_ignores_where_pixels_stand(generator):
    features = generator.normal(size=(1, 4, 6, 5))
    shuffled = generator.permutation(features.reshape(24, 5)).reshape(1, 4, 6, 5)
    np.testing.assert_allclose(gram_matrix(shuffled), gram_matrix(features), rtol=1e-12)


def test_gram_matrix_is_symmetric_and_has_no_negative_eigenvalue(generator):
    gram = gram_matrix(generator.normal(size=(2, 4, 4, 8))).numpy()
    np.testing.assert_allclose(gram, gram.transpose(0, 2, 1))
    assert np.linalg.eigvalsh(gram).min() > -1e-12


def test_gram_matrix_keeps_the_pictures_of_a_batch_apart(generator):
    features = generator.normal(size=(2, 3, 4, 5))
    both = gram_matrix(features)
    np.testing.assert_allclose(both[1], gram_matrix(features[1:])[0])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_gram_matrix_of_half_precision_features_is_summed_in_float32(dtype):
    gram = gram_matrix(tf.ones((1, 300, 300, 2), dtype) * 4, normalize=False)
    assert gram.dtype == tf.float32
    assert gram[0, 0, 1] == 300 * 300 * 16  # beyond float16's range, and beyond bfloat16's precision


def test_gram_matrix_refuses_features_without_four_dimensions():
    with pytest.raises(ValueError, match=r"batch, height, width, channels"):
        gram_matrix(tf.ones((4, 4, 8)))


def content_by_numpy(features, target, form):
    squares = np.sum((features - target) ** 2)
    return {
        "sum": squares,
        "half_sum": squares / 2,
        "mean": squares / features.size,
        "quarter_mean": squares / features.size / 4,
        "relative": squares / np.sum(target**2),
    }[form]


def style_by_numpy(features, target, form):
    """The papers' formulas, on Gram matrices that are not normalized."""
    channels, positions = features.shape[-1], features.shape[1] * features.shape[2]
    squares = np.sum((gram_by_loops(features) - gram_by_loops(target)) ** 2)
    return {
        "mean": squares / (channels**2 * positions**2),
        "quarter_mean": squares / (4 * channels**2 * positions**2),
        "udacity": squares / channels**2 / (channels * positions),
        "keras": squares / (4 * 3**2 * PIXELS**2),
        "relative": squares / np.sum(gram_by_loops(target) ** 2),
    }[form]


def style_of(features, target, form):
    return style_loss(gram_matrix(features), gram_matrix(target), form=form, positions=POSITIONS, image_pixels=PIXELS)


@pytest.mark.parametrize("form", CONTENT_FORMS)
def test_content_loss_equals_its_formula_and_is_zero_at_its_target(generator, form):
    features, target = generator.normal(size=(2, 1, 3, 4, 5))
    np.testing.assert_allclose(content_loss(features, target, form=form), content_by_numpy(features, target, form))
    assert content_loss(target, target, form=form) == 0


# The Wasserstein distances have tests of their own.
@pytest.mark.parametrize("form", [name for name, form in STYLE_FORMS.items() if not form.distance])
def test_style_loss_equals_the_papers_formula_and_is_zero_at_its_target(generator, form):
    features, target = generator.normal(size=(2, 1, 3, 4, 5))
    np.testing.assert_allclose(style_of(features, target, form), style_by_numpy(features, target, form))
    assert style_of(target, target, form) == 0


def total_variation_by_loops(image, form):
    _, height, width, _ = image.shape
    total = 0.0
    for row in range(height):
        for column in range(width):
            here = image[0, row, column]
            down = image[0, row + 1, column] - here if row + 1 < height else 0 * here
            across = image[0, row, column + 1] - here if column + 1 < width else 0 * here
            inside = row + 1 < height and column + 1 < width
            falling = image[0, row + 1, column + 1] - here if inside else 0 * here
            rising = image[0, row + 1, column] - image[0, row, column + 1] if inside else 0 * here
            if form == "absolute":
                total += np.sum(np.abs(down) + np.abs(across))
            elif form == "squared":
                total += np.sum(down**2 + across**2)
            elif form == "nine_point":
                total += np.sum((4 * down**2 + 4 * across**2 + falling**2 + rising**2) / 6)
            elif form == "keras" and inside:
                total += np.sum((down**2 + across**2) ** 1.25)
    return total


@pytest.mark.parametrize("form", TOTAL_VARIATION_FORMS)
def test_total_variation_equals_its_sum_by_loops_and_is_zero_on_a_flat_picture(generator, form):
    image = generator.uniform(size=(1, 5, 6, 3))
    expected = total_variation_by_loops(image, form)
    np.testing.assert_allclose(total_variation_loss(image, form=form), expected)
    assert total_variation_loss(np.full((1, 5, 6, 3), 0.3), form=form) == 0


def test_nine_point_total_variation_sees_a_diagonal_step_that_the_squared_one_counts_at_double():
    upright = np.zeros((1, 40, 40, 1))
    upright[:, :, 20:] = 1
    slanted = np.triu(np.ones((40, 40)))[np.newaxis, ..., np.newaxis]
    ratio = {
        form: float(total_variation_loss(slanted, form=form) / total_variation_loss(upright, form=form))
        for form in ("squared", "nine_point")
    }
    assert ratio["squared"] == pytest.approx(2, rel=0.05)
    # A slanted line is √2 longer than an upright one; the nine-point form comes nearer to that.
    assert abs(ratio["nine_point"] - 2**0.5) < abs(ratio["squared"] - 2**0.5)


LOSSES_OF_FEATURES = [
    *[(f"content {form}", lambda f, t, form=form: content_loss(f, t, form=form)) for form in CONTENT_FORMS],
    *[(f"style {form}", lambda f, t, form=form: style_of(f, t, form)) for form in STYLE_FORMS],
    *[
        (f"variation {form}", lambda f, t, form=form: total_variation_loss(f, form=form))
        for form in TOTAL_VARIATION_FORMS
    ],
]


@pytest.mark.parametrize(("name", "loss"), LOSSES_OF_FEATURES, ids=[name for name, _ in LOSSES_OF_FEATURES])
def test_gradient_agrees_with_finite_differences_in_float64(generator, name, loss):
    features, target = generator.normal(size=(2, 1, 3, 4, 5))
    variable = tf.Variable(features)
    with tf.GradientTape() as tape:
        value = loss(variable, target)
    gradient = tape.gradient(value, variable).numpy()
    for index in [(0, 0, 0, 0), (0, 1, 2, 3), (0, 2, 3, 4)]:
        expected = finite_difference(lambda array: float(loss(array, target)), features, index)
        assert gradient[index] == pytest.approx(expected, rel=1e-5, abs=1e-9), name


@pytest.mark.parametrize(("name", "loss"), LOSSES_OF_FEATURES, ids=[name for name, _ in LOSSES_OF_FEATURES])
def test_traced_loss_equals_the_plain_one_also_for_sizes_unknown_when_traced(generator, name, loss):
    features, target = (tf.constant(a, tf.float32) for a in generator.normal(size=(2, 1, 3, 4, 5)))
    unknown = tf.TensorSpec((None, None, None, 5), tf.float32)
    traced = tf.function(loss, input_signature=[unknown, unknown])
    np.testing.assert_allclose(traced(features, target), loss(features, target), rtol=1e-6)


def test_relative_losses_of_an_empty_target_are_divided_by_the_smallest_energy():
    nothing, something = tf.zeros((1, 4, 4, 3)), tf.ones((1, 4, 4, 3))
    np.testing.assert_allclose(content_loss(something, nothing, form="relative"), 1e8, rtol=1e-5)
    np.testing.assert_allclose(
        style_loss(gram_matrix(something), gram_matrix(nothing), form="relative"), 3**2 * 1e8, rtol=1e-5
    )


@pytest.mark.parametrize(
    "refused",
    [
        lambda: content_loss(tf.ones((1, 2, 2, 3)), tf.ones((1, 2, 3, 3))),
        lambda: content_loss(tf.ones((1, 2, 2, 3)), tf.ones((1, 2, 2, 3)), form="medium"),
        lambda: style_loss(tf.ones((1, 3, 3)), tf.ones((1, 4, 4))),
        lambda: style_loss(tf.ones((1, 3, 3)), tf.ones((1, 3, 3)), form="medium"),
        lambda: style_loss(tf.ones((1, 3, 3)), tf.ones((1, 3, 3)), form="udacity"),
        lambda: total_variation_loss(tf.ones((1, 2, 2, 3)), form="medium"),
    ],
)
def test_loss_refuses_what_cannot_be_compared(refused):
    with pytest.raises(ValueError):
        refused()
