"""Solvers: what moves the picture downhill."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

BETA_1 = 0.9
BETA_2 = 0.99
# Beside gradients whose largest entry is 1; squares of anything smaller would leave float32's range.
EPSILON = 1e-15
SMALLEST_GRADIENT = 1e-30
# A loss before there is one; not infinity, which TensorFlow's check_numerics would stop at.
NO_LOSS = float(np.finfo(np.float32).max)
LEARNING_RATE = 0.018
FINAL_FRACTION = 0.05
RESOLUTIONS = 4
# A loss this many times the lowest so far has climbed too far, and so has one that is not a number.
CLIMB = 2.0
FAILURES = 3


class Evaluation(Protocol):
    """What a solver minimises: a loss, its parts, and the gradient by the picture."""

    traceable: bool  # whether all of it can be traced into one TensorFlow function

    def losses(self, image: tf.Tensor, targets: Any) -> tuple:
        """Return scalars, of which the first is minimised."""

    def losses_and_gradient(self, image: tf.Tensor, targets: Any) -> tuple[tuple, tf.Tensor]:
        """Return the same, and the gradient of the first by the picture."""


class Solver:
    """Minimises a loss over a picture of one size, and keeps the best picture.

    A subclass says in `_move` how the picture changes at a step.

    Args:
        evaluation: What is minimised.
        shape: Of the picture, (1, height, width, 3).
        clip: Whether to keep the picture in [0, 1].
    """

    def __init__(self, evaluation: Evaluation, shape: tuple[int, ...], *, clip: bool = True):
        self._evaluation = evaluation
        self._clip = clip
        self.image = tf.Variable(tf.zeros(shape), trainable=False)
        self.best_image = tf.Variable(tf.zeros(shape), trainable=False)
        self.best_loss = tf.Variable(NO_LOSS, trainable=False, dtype=tf.float32)
        self.step = tf.Variable(0, trainable=False, dtype=tf.int32)
        self.steps = tf.Variable(1, trainable=False, dtype=tf.int32)
        self.failures = tf.Variable(0, trainable=False, dtype=tf.int32)  # losses that were not numbers
        self.evaluate = _traced_evaluation(evaluation)

    def start(self, image: tf.Tensor, steps: int) -> None:
        """Forget the run before, and begin one of so many steps at a picture in [0, 1]."""
        self.image.assign(image)
        self.best_image.assign(image)
        self.best_loss.assign(NO_LOSS)
        self.step.assign(0)
        self.steps.assign(steps)
        self.failures.assign(0)

    @property
    def stuck(self) -> bool:
        """Whether the loss was not a number too often, though the steps were made smaller each time."""
        return int(self.failures) >= FAILURES

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        names = ("image", "best_image", "best_loss", "step", "steps", "failures")
        return {name: getattr(self, name) for name in names}

    def take_step(self, targets: Any) -> np.ndarray:
        """Take one step; return the losses before it, float32 (parts,)."""
        # The value: a traced function would take another variable, of another size, for another function.
        losses, gradient = self.evaluate(self.image.read_value(), targets)
        loss, finite = losses[0], bool(np.isfinite(losses[0]) and tf.reduce_all(tf.math.is_finite(gradient)))
        self.failures.assign_add(int(not finite))
        self.keep_best(loss, self.image)
        self.step.assign_add(1)
        self._move(loss, gradient, finite)
        return np.array(losses, np.float32)

    def finish(self, targets: Any) -> np.ndarray:
        """Return the losses of the last picture, float32 (parts,)."""
        losses = self._evaluation.losses(self.image, targets)
        self.keep_best(losses[0], self.image)
        return np.array(losses, np.float32)

    def keep_best(self, loss: tf.Tensor, image: tf.Tensor) -> None:
        """Remember a picture if its loss is the lowest so far; NaN never is."""
        if float(loss) < float(self.best_loss):
            self.best_loss.assign(loss)
            self._keep(image)

    def _keep(self, image: tf.Tensor) -> None:
        self.best_image.assign(image)

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: bool) -> None:
        raise NotImplementedError


def traced(function: Callable) -> Callable:
    """Return a function that TensorFlow traces once for each kind of arguments; conditions in it must be Python's."""
    # TensorFlow counts traces by the code traced and warns of many, though each solver rightly has its own; for a
    # partial it counts each by itself.  Looking for what AutoGraph would convert takes a second, and there is nothing.
    return tf.function(functools.partial(function), reduce_retracing=True, autograph=False)


def _traced_evaluation(evaluation: Evaluation) -> Callable:
    """Return what evaluates pictures of all sizes, traced once for all solvers that use it."""
    if not evaluation.traceable:
        return evaluation.losses_and_gradient
    if not hasattr(evaluation, "traced"):
        evaluation.traced = traced(evaluation.losses_and_gradient)
    return evaluation.traced


class MultiresolutionAdam(Solver):
    """Adam on the picture at several resolutions at once.

    Adam moves every pixel by about its learning rate, whatever the gradient's size.  That makes it indifferent to a
    loss's scale, but a broad change of tone then needs as many steps as fine grain does, and the grain gets there
    first and stays.  So the gradient is also averaged over blocks of 2 × 2, 4 × 4 and 8 × 8 pixels, each size has an
    Adam of its own, and the picture takes the sum of their steps: tones and shapes move at once, and the learning rate
    can be small enough for the grain to settle.  It falls over the run as half a cosine.  A step after
    which the loss has climbed too far is taken back, and those that follow are half as long.

    Reference:
        Kingma, Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
    """

    def __init__(self, evaluation: Evaluation, shape: tuple[int, ...], *, clip: bool = True):
        super().__init__(evaluation, shape, clip=clip)
        levels = _at_resolutions(tf.zeros(shape))
        self._first_moments = [tf.Variable(level, trainable=False) for level in levels]
        self._second_moments = [tf.Variable(level, trainable=False) for level in levels]
        self._moves = tf.Variable(0, trainable=False, dtype=tf.int32)
        self._caution = tf.Variable(1.0, trainable=False)

    def start(self, image: tf.Tensor, steps: int) -> None:
        """Forget the run before, and begin one of so many steps at a picture in [0, 1]."""
        super().start(image, steps)
        self._caution.assign(1.0)
        self._forget_moments()

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        levels = enumerate(zip(self._first_moments, self._second_moments, strict=True))
        moments = {f"moment_{which}_{level}": pair[which] for level, pair in levels for which in (0, 1)}
        return {**super().variables(), **moments, "moves": self._moves, "caution": self._caution}

    def _forget_moments(self) -> None:
        self._moves.assign(0)
        for moment in (*self._first_moments, *self._second_moments):
            moment.assign(tf.zeros_like(moment))

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: bool) -> None:
        if finite and float(loss) <= CLIMB * float(self.best_loss):
            progress = (int(self.step) - 1) / int(self.steps)
            falling = FINAL_FRACTION + (1 - FINAL_FRACTION) * (1 + np.cos(np.pi * progress)) / 2
            self._moves.assign_add(1)
            rate = LEARNING_RATE * float(falling) * float(self._caution)
            moments = [[moment.read_value() for moment in each] for each in (self._first_moments, self._second_moments)]
            direction, *new = _adam_at_resolutions(gradient, tf.cast(self._moves, tf.float32), *moments)
            for variables, values in zip((self._first_moments, self._second_moments), new, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
            moved = self.image - rate * direction
            self.image.assign(tf.clip_by_value(moved, 0.0, 1.0) if self._clip else moved)
        else:
            self.image.assign(self.best_image)
            self._caution.assign(self._caution / 2)
            self._forget_moments()


@traced
def _adam_at_resolutions(
    gradient: tf.Tensor, time: tf.Tensor, firsts: list[tf.Tensor], seconds: list[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
    """Return the sum over all resolutions of Adam's step at a time, from 1, and the moments by resolution after it."""
    # The published losses differ by ten orders of magnitude in scale, and so do their gradients.
    gradient /= tf.maximum(tf.reduce_max(tf.abs(gradient)), SMALLEST_GRADIENT)
    direction, new_firsts, new_seconds = tf.zeros_like(gradient), [], []
    for level, first, second in zip(_at_resolutions(gradient), firsts, seconds, strict=True):
        new_firsts.append(BETA_1 * first + (1 - BETA_1) * level)
        new_seconds.append(BETA_2 * second + (1 - BETA_2) * tf.square(level))
        first_unbiased = new_firsts[-1] / (1 - BETA_1**time)
        second_unbiased = new_seconds[-1] / (1 - BETA_2**time)
        step = first_unbiased / (tf.sqrt(second_unbiased) + EPSILON)
        direction += tf.image.resize(step, tf.shape(gradient)[1:3], "bilinear")
    return direction, new_firsts, new_seconds


def _at_resolutions(image: tf.Tensor) -> list[tf.Tensor]:
    """Return a picture, and its averages over blocks of 2 × 2, 4 × 4 and 8 × 8 pixels."""
    resolutions = [image]
    for _ in range(RESOLUTIONS - 1):
        resolutions.append(tf.nn.avg_pool2d(resolutions[-1], 2, 2, "SAME"))
    return resolutions
