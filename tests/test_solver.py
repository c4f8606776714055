import functools

import numpy as np
import pytest
import tensorflow as tf
from conftest import descend

from nst_tf.engine import lbfgs
from nst_tf.engine.adam import LEARNING_RATE, RESOLUTIONS, MultiresolutionAdam, _at_resolutions
from nst_tf.engine.lbfgs import LBFGS
from nst_tf.engine.solver import FAILURES

SHAPE = (1, 16, 24, 3)
GRAY = tf.fill(SHAPE, 0.5)

both = pytest.mark.parametrize("method", [MultiresolutionAdam, LBFGS])


def run(losses, start, steps, *, target=0.0, clip=True, method=MultiresolutionAdam):
    solver = method(start, steps, clip=clip)
    return solver, descend(solver, losses, steps, target)


def distance(image, target):
    return (tf.reduce_mean(tf.square(image - target)),)


def valley(image, target):
    """Rosenbrock's function of neighboring pixels: a long, bent valley."""
    one, other = image[..., 0], image[..., 1]
    return (tf.reduce_sum(100 * tf.square(other - tf.square(one)) + tf.square(1 - one)),)


@pytest.fixture
def target(generator):
    return tf.constant(generator.uniform(size=SHAPE).astype(np.float32))


@both
def test_solver_finds_the_picture_that_is_asked_for(target, method):
    solver, history = run(distance, GRAY, 120, target=target, method=method)
    assert history[-1, 0] < 0.02 * history[0, 0]
    np.testing.assert_allclose(solver.best.image, target, atol=0.12)


def test_lbfgs_finds_the_minimum_of_a_quadratic_in_a_few_steps(target):
    solver, history = run(distance, GRAY, 8, target=target, method=LBFGS)
    np.testing.assert_allclose(solver.best.image, target, atol=1e-4)
    assert history[-1, 0] < 1e-8


@pytest.mark.parametrize("room", [5, 21, 40])
def test_lbfgs_aims_where_the_two_loops_of_the_book_do(generator, room):
    target = tf.constant(generator.uniform(size=SHAPE).astype(np.float32))
    solver, _ = run(valley, target, room + room // 2, method=functools.partial(LBFGS, remembers=2 * room), clip=False)
    variables = {name: variable.numpy().astype(np.float64) for name, variable in solver.variables().items()}
    pairs = int(variables["pairs"])
    assert pairs > room
    moves, changes = np.stack([variables[f"pair_{number}"] for number in range(room)], axis=1)
    order = [(pairs - 1 - age) % room for age in range(room)]  # the newest first
    gradient = variables["origin_gradient"].ravel()
    expected = -two_loops(moves[order], changes[order], gradient).reshape(SHAPE)
    np.testing.assert_allclose(variables["direction"], expected, atol=1e-4 * np.abs(expected).max())


def two_loops(moves, changes, gradient):
    """Algorithm 7.4 of Nocedal and Wright, on pairs from the newest to the oldest."""
    direction, shares = gradient.copy(), []
    for move, change in zip(moves, changes, strict=True):
        shares.append(move @ direction / (move @ change))
        direction -= shares[-1] * change
    direction *= (moves[0] @ changes[0]) / (changes[0] @ changes[0])
    for move, change, share in reversed(list(zip(moves, changes, shares, strict=True))):
        direction += (share - change @ direction / (move @ change)) * move
    return direction


def test_lbfgs_counts_on_the_curvature_that_it_found_positive():
    shape = (1, 64, 64, 3)
    pairs = lbfgs.Pairs(40, np.prod(shape))
    generator = np.random.default_rng(0)
    for _ in range(20):
        moved, change = generator.normal(size=(2, *shape)).astype(np.float32)
        across = change - moved * (np.sum(moved * change, dtype=np.float64) / np.sum(moved**2, dtype=np.float64))
        new = tf.constant(moved), tf.constant(across + 1e-8 * moved, tf.float32)
        pairs.times_inverse_hessian(tf.constant(change), *new)
    count, products = int(pairs.count), pairs.products.numpy()
    assert count > 0
    assert (np.diag(products[::2, 1::2])[:count] > 0).all()
    np.testing.assert_array_equal(products, products.T)


def test_lbfgs_follows_a_bent_valley_where_adam_is_still_on_its_way():
    start = tf.fill(SHAPE, 0.1)
    _, by_lbfgs = run(valley, start, 80, method=LBFGS)
    _, by_adam = run(valley, start, 80)
    assert by_lbfgs[-1, 0] < 1e-3 * by_lbfgs[0, 0]
    assert by_lbfgs[-1, 0] < 0.1 * by_adam[-1, 0]


def test_lbfgs_puts_pixels_at_the_end_of_the_range_and_still_finds_the_others(generator):
    target = generator.uniform(-0.5, 1.5, size=SHAPE).astype(np.float32)
    solver, _ = run(distance, GRAY, 24, target=tf.constant(target), method=LBFGS)
    np.testing.assert_allclose(solver.best.image, np.clip(target, 0, 1), atol=1e-3)


def test_lbfgs_knows_the_curvature_also_while_pixels_are_at_the_end_of_the_range(generator):
    target = generator.uniform(-0.5, 1.5, size=SHAPE).astype(np.float32)
    stretch = np.geomspace(1, 300, np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)

    def stretched(image, target):
        return (tf.reduce_sum(stretch * tf.square(image - target)),)

    solver, _ = run(stretched, GRAY, 60, target=tf.constant(target), method=LBFGS)
    np.testing.assert_allclose(solver.best.image, np.clip(target, 0, 1), atol=1e-2)


@both
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_solver_does_not_mind_the_scale_of_a_loss(target, scale, method):
    def scaled_distance(image, target):
        return (scale * distance(image, target)[0],)

    plain, _ = run(distance, GRAY, 12, target=target, method=method)
    scaled, _ = run(scaled_distance, GRAY, 12, target=target, method=method)
    np.testing.assert_allclose(scaled.image, plain.image, atol=1e-4)


def test_broad_changes_take_fewer_steps_than_with_plain_adam():
    target = tf.fill(SHAPE, 0.9)
    _, history = run(distance, tf.fill(SHAPE, 0.1), 24, target=target)
    plain_adam_moves_at_most = 24 * LEARNING_RATE
    assert np.sqrt(history[-1, 0]) < 0.8 - plain_adam_moves_at_most


def test_color_from_pixel_to_pixel_counts_for_less_than_half_beside_brightness(generator):
    across, down = np.meshgrid(np.arange(SHAPE[2]), np.arange(SHAPE[1]))
    checkered = (-1.0) ** (across + down)[np.newaxis, :, :, np.newaxis]  # which no block has anything of
    gray, color = generator.normal(size=(*SHAPE[:3], 1)), 0.3 * checkered * (1, 0, -1)
    downhill = tf.constant(gray + color, tf.float32)
    solver, _ = run(lambda image, _: (-tf.reduce_sum(downhill * image),), GRAY, 4, clip=False)
    moved = solver.image - GRAY
    colored = moved - tf.reduce_mean(moved, axis=-1, keepdims=True)
    assert tf.norm(colored) / tf.norm(moved) < 0.5 * np.linalg.norm(color) / np.linalg.norm(downhill)


def test_blocks_overlap_so_that_none_has_an_edge_which_shows():
    impulses = tf.reshape(tf.eye(24), (24, 1, 24, 1)) * tf.ones((1, 16, 1, 3))
    assert [averages.shape[1:3] for averages in _at_resolutions(impulses)] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    for averages in _at_resolutions(impulses)[1:]:
        both = tf.minimum(averages[:-1], averages[1:])  # of a column of pixels and the next
        assert (tf.reduce_sum(both, axis=(1, 2, 3)).numpy() > 0).all()


def test_the_finest_resolution_has_all_of_the_brightness_and_a_quarter_of_the_color():
    gradient = tf.random.stateless_normal(SHAPE, (0, 0)).numpy()
    brightness = gradient.mean(axis=-1, keepdims=True)
    finest = _at_resolutions(tf.constant(gradient))[0]
    np.testing.assert_allclose(finest, brightness + (gradient - brightness) / 4, atol=1e-6)


@both
def test_picture_stays_in_range_only_if_clipped(method):
    far = tf.fill(SHAPE, 3.0)
    clipped, _ = run(distance, tf.fill(SHAPE, 0.9), 12, target=far, method=method)
    free, _ = run(distance, tf.fill(SHAPE, 0.9), 12, target=far, clip=False, method=method)
    assert clipped.image.numpy().max() <= 1
    assert free.image.numpy().max() > 1


@both
def test_the_best_picture_is_kept_when_the_loss_climbs_or_is_lost(method):
    def climbing(image, target):
        return (tf.where(tf.reduce_mean(image) > 0.6, np.nan, 1 - tf.reduce_mean(image)),)

    solver, history = run(climbing, GRAY, 12, method=method)
    assert np.isnan(history).any()
    assert float(solver.best.loss) == np.nanmin(history)
    assert 0.5 < solver.best.image.numpy().mean() <= 0.6


@both
def test_a_step_that_climbs_too_far_is_taken_back(method):
    def cliff(image, target):
        height = tf.reduce_mean(image)
        return (tf.where(height > 0.55, 100 * height, 1 - height),)

    solver, history = run(cliff, GRAY, 24, method=method)
    climbed = np.flatnonzero(history > 10)
    assert len(climbed)
    assert history[climbed[0] + 1, 0] < 1
    assert solver.best.image.numpy().mean() <= 0.55


@both
def test_a_loss_that_is_never_a_number_stops_the_run_at_its_start(method):
    solver, history = run(lambda image, target: (tf.reduce_sum(image) * np.nan,), GRAY, 10, method=method)
    assert solver.stuck
    assert len(history) == FAILURES
    np.testing.assert_array_equal(solver.best.image, GRAY)


@both
def test_with_all_its_variables_restored_a_run_goes_on_where_it_was(target, method):
    solver, _ = run(valley, GRAY, 8, target=target, method=method)
    kept = {name: variable.numpy() for name, variable in solver.variables().items()}
    expected = descend(solver, valley, 4)
    other = method(tf.zeros(SHAPE), 3)
    for name, variable in other.variables().items():
        variable.assign(kept[name])
    np.testing.assert_array_equal(descend(other, valley, 4), expected)
    np.testing.assert_array_equal(other.image, solver.image)


def test_adams_first_step_is_the_whole_rate_at_every_resolution():
    solver = MultiresolutionAdam(tf.fill((1, 32, 32, 3), 0.5), 2)
    descend(solver, lambda image, _: (tf.reduce_sum(image),), 1)
    np.testing.assert_allclose(0.5 - solver.image, RESOLUTIONS * LEARNING_RATE, rtol=1e-4)
