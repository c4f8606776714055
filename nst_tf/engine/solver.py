"""Solvers: what moves the picture downhill, many steps in one traced call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

BETA_1 = 0.9
BETA_2 = 0.99
# Beside gradients whose largest entry is 1; squares of anything smaller would leave float32's range.
EPSILON = 1e-15
SMALLEST_GRADIENT = 1e-30
LEARNING_RATE = 0.012
FINAL_FRACTION = 0.05
RESOLUTIONS = 4


class Solver:
    """Minimises a loss over a picture of one size, and keeps the best picture; made once, used for any number of runs.

    A subclass says in `_move` how the picture changes at a step.  `advance(targets, count)` takes `count` steps and
    returns the losses before each, float32 (count, parts); `finish(targets)` returns those of the last picture.

    Args:
        losses: From a picture (1, height, width, 3) and the targets to a tuple of scalars, of which the first is to be
            minimised.
        shape: Of the picture, (1, height, width, 3).
        clip: Whether to keep the picture in [0, 1].
    """

    def __init__(self, losses: Callable[[tf.Tensor, Any], tuple], shape: tuple[int, ...], *, clip: bool = True):
        self._losses = losses
        self._clip = clip
        self.image = tf.Variable(tf.zeros(shape), trainable=False)
        self.best_image = tf.Variable(tf.zeros(shape), trainable=False)
        self.best_loss = tf.Variable(np.inf, trainable=False, dtype=tf.float32)
        self.step = tf.Variable(0, trainable=False, dtype=tf.int32)
        self.steps = tf.Variable(1, trainable=False, dtype=tf.int32)
        # TensorFlow counts traces by the code traced and warns of many, though each solver rightly has its own; for a
        # partial it counts each by itself.
        self.advance = tf.function(functools.partial(self._advance), reduce_retracing=True)
        self.finish = tf.function(functools.partial(self._finish), reduce_retracing=True)

    def start(self, image: tf.Tensor, steps: int) -> None:
        """Forget the run before, and begin one of so many steps at a picture in [0, 1]."""
        self.image.assign(image)
        self.best_image.assign(image)
        self.best_loss.assign(np.inf)
        self.step.assign(0)
        self.steps.assign(steps)

    def _advance(self, targets: Any, count: tf.Tensor) -> tf.Tensor:
        history = tf.TensorArray(tf.float32, size=count)
        for index in tf.range(count):
            losses, gradient = self.losses_and_gradient(self.image, targets)
            history = history.write(index, tf.stack(losses))
            self.keep_best(losses[0], self.image)
            self.step.assign_add(1)
            self._move(gradient)
        return history.stack()

    def _finish(self, targets: Any) -> tf.Tensor:
        losses = self._losses(self.image, targets)
        self.keep_best(losses[0], self.image)
        return tf.stack(losses)

    def losses_and_gradient(self, image: tf.Tensor, targets: Any) -> tuple[tuple, tf.Tensor]:
        """Return the losses of a picture, and the gradient of the first with respect to it."""
        with tf.GradientTape() as tape:
            tape.watch(image)
            losses = self._losses(image, targets)
        return losses, tape.gradient(losses[0], image)

    def keep_best(self, loss: tf.Tensor, image: tf.Tensor) -> None:
        """Remember a picture if its loss is the lowest so far; NaN never is."""
        better = loss < self.best_loss
        self.best_image.assign(tf.where(better, image, self.best_image))
        self.best_loss.assign(tf.where(better, loss, self.best_loss))

    def _move(self, gradient: tf.Tensor) -> None:
        raise NotImplementedError


class FastSolver(Solver):
    """Adam on the picture at several resolutions at once.

    Adam moves every pixel by about its learning rate, whatever the gradient's size.  That makes it indifferent to a
    loss's scale, but a broad change of tone then needs as many steps as fine grain does, and the grain gets there
    first and stays.  So the gradient is also averaged over blocks of 2 × 2, 4 × 4 and 8 × 8 pixels, each size has an
    Adam of its own, and the picture takes the sum of their steps: tones and shapes move at once, and the learning rate
    can be small enough for the grain to settle.  It falls over the run as half a cosine.

    Reference:
        Kingma, Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
    """

    def __init__(self, losses: Callable[[tf.Tensor, Any], tuple], shape: tuple[int, ...], *, clip: bool = True):
        super().__init__(losses, shape, clip=clip)
        self._first_moments = [tf.Variable(level, trainable=False) for level in _at_resolutions(tf.zeros(shape))]
        self._second_moments = [tf.Variable(level, trainable=False) for level in _at_resolutions(tf.zeros(shape))]

    def start(self, image: tf.Tensor, steps: int) -> None:
        """Forget the run before, and begin one of so many steps at a picture in [0, 1]."""
        super().start(image, steps)
        for moment in (*self._first_moments, *self._second_moments):
            moment.assign(tf.zeros_like(moment))

    def _move(self, gradient: tf.Tensor) -> None:
        progress = tf.cast(self.step - 1, tf.float32) / tf.cast(self.steps, tf.float32)
        falling = FINAL_FRACTION + (1 - FINAL_FRACTION) * (1 + tf.cos(np.pi * progress)) / 2
        moved = self.image - LEARNING_RATE * falling * self._direction(gradient)
        self.image.assign(tf.clip_by_value(moved, 0.0, 1.0) if self._clip else moved)

    def _direction(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return the sum over all resolutions of Adam's step, before the learning rate."""
        # The published losses differ by ten orders of magnitude in scale, and so do their gradients.
        gradient /= tf.maximum(tf.reduce_max(tf.abs(gradient)), SMALLEST_GRADIENT)
        time = tf.cast(self.step, tf.float32)
        direction = tf.zeros_like(gradient)
        levels = zip(_at_resolutions(gradient), self._first_moments, self._second_moments, strict=True)
        for level, first, second in levels:
            first.assign(BETA_1 * first + (1 - BETA_1) * level)
            second.assign(BETA_2 * second + (1 - BETA_2) * tf.square(level))
            first_unbiased = first / (1 - BETA_1**time)
            second_unbiased = second / (1 - BETA_2**time)
            step = first_unbiased / (tf.sqrt(second_unbiased) + EPSILON)
            direction += tf.image.resize(step, gradient.shape[1:3], "bilinear")
        return direction


def _at_resolutions(image: tf.Tensor) -> list[tf.Tensor]:
    """Return a picture, and its averages over blocks of 2 × 2, 4 × 4 and 8 × 8 pixels."""
    resolutions = [image]
    for _ in range(RESOLUTIONS - 1):
        resolutions.append(tf.nn.avg_pool2d(resolutions[-1], 2, 2, "SAME"))
    return resolutions
