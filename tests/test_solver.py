import numpy as np
import pytest
import tensorflow as tf
from conftest import Evaluation

from nst_tf.engine.solver import LEARNING_RATE, FastSolver

SHAPE = (1, 16, 24, 3)


def run(losses, start, steps, *, target=0.0, clip=True, call=4):
    solver = FastSolver(Evaluation(losses), SHAPE, clip=clip)
    solver.start(start, steps)
    history = [solver.advance(target, tf.constant(call)).numpy() for _ in range(steps // call)]
    return solver, np.concatenate(history)


def distance(image, target):
    return (tf.reduce_mean(tf.square(image - target)),)


def test_solver_finds_the_picture_that_is_asked_for(generator):
    target = generator.uniform(size=SHAPE).astype(np.float32)
    solver, history = run(distance, tf.fill(SHAPE, 0.5), 120, target=tf.constant(target))
    assert history[-1, 0] < 0.02 * history[0, 0]
    np.testing.assert_allclose(solver.best_image, target, atol=0.12)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_solver_does_not_mind_the_scale_of_a_loss(generator, scale):
    target = tf.constant(generator.uniform(size=SHAPE).astype(np.float32))
    plain, _ = run(distance, tf.fill(SHAPE, 0.5), 12, target=target)
    scaled, _ = run(lambda image, target: (scale * distance(image, target)[0],), tf.fill(SHAPE, 0.5), 12, target=target)
    np.testing.assert_allclose(scaled.image, plain.image, atol=1e-4)


def test_broad_changes_take_fewer_steps_than_with_plain_adam():
    target = tf.fill(SHAPE, 0.9)
    _, history = run(distance, tf.fill(SHAPE, 0.1), 24, target=target)
    plain_adam_moves_at_most = 24 * LEARNING_RATE
    assert np.sqrt(history[-1, 0]) < 0.8 - plain_adam_moves_at_most


def test_picture_stays_in_range_only_if_clipped():
    far = tf.fill(SHAPE, 3.0)
    clipped, _ = run(distance, tf.fill(SHAPE, 0.9), 12, target=far)
    free, _ = run(distance, tf.fill(SHAPE, 0.9), 12, target=far, clip=False)
    assert clipped.image.numpy().max() <= 1
    assert free.image.numpy().max() > 1


def test_the_best_picture_is_kept_when_the_loss_climbs_or_is_lost():
    def climbing(image, target):
        return (tf.where(tf.reduce_mean(image) > 0.6, np.nan, 1 - tf.reduce_mean(image)),)

    solver, history = run(climbing, tf.fill(SHAPE, 0.5), 12)
    assert np.isnan(history).any()
    assert float(solver.best_loss) == np.nanmin(history)
    assert 0.5 < solver.best_image.numpy().mean() <= 0.6


def test_how_the_steps_are_grouped_into_calls_changes_nothing(generator):
    target = tf.constant(generator.uniform(size=SHAPE).astype(np.float32))
    pictures = [run(distance, tf.fill(SHAPE, 0.5), 12, target=target, call=call)[0].image for call in (1, 4, 12)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_a_second_run_starts_afresh_without_tracing_again(generator):
    target = tf.constant(generator.uniform(size=SHAPE).astype(np.float32))
    solver, first = run(distance, tf.fill(SHAPE, 0.5), 8, target=target, call=8)
    traces = solver.advance.experimental_get_tracing_count()
    solver.start(tf.fill(SHAPE, 0.5), 8)
    second = solver.advance(target, tf.constant(8))
    np.testing.assert_array_equal(first, second)
    assert solver.advance.experimental_get_tracing_count() == traces
