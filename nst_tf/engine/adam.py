"""Adam at several resolutions: the fast method that leaves the least grain."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from nst_tf.engine.solver import SMALLEST_GRADIENT, Solver
from nst_tf.ground.keras_defaults import traced

BETA_1 = 0.9
BETA_2 = 0.99
# Beside gradients whose largest entry is 1; squares of anything smaller would leave float32's range.
EPSILON = 1e-15
LEARNING_RATE = 0.018
FINAL_FRACTION = 0.2
RESOLUTIONS = 4
FINEST_COLOR = 0.25
# A loss this many times the lowest so far has climbed too far, and so has one that is not a number.
CLIMB = 2.0


class MultiresolutionAdam(Solver):
    """Adam on the image at several resolutions at once.

    Adam moves every pixel by about its learning rate, whatever the gradient's size.  That makes it indifferent to a
    loss's scale, but a broad change of tone then needs as many steps as fine grain does, and the grain gets there
    first and stays.  So the gradient is also averaged over blocks of pixels that are 2, 4 and 8 pixels apart, each size
    has an Adam of its own, and the image takes the sum of their steps: tones and shapes move at once, and the
    learning rate can be small enough for the grain to settle.  The blocks overlap, so that their edges draw no lattice.
    And the finest size follows only a quarter of the gradient's color, what it has beyond gray: a full step for every
    pixel and channel, however small the gradient there, would strew dots of color over what is flat.  The learning rate
    falls over the run as half a cosine.  A step after which the loss has climbed too far is taken back, and those that
    follow are half as long.

    Reference:
        Kingma, Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
    """

    def __init__(self, image: tf.Tensor, steps: int, *, clip: bool = True):
        super().__init__(image, steps, clip=clip)
        # First and second moments, each by resolution.
        self._moments = [
            [tf.Variable(level, trainable=False) for level in _at_resolutions(tf.zeros_like(image))] for _ in range(2)
        ]
        self._moves = tf.Variable(0, trainable=False, dtype=tf.int32)
        self._caution = tf.Variable(1.0, trainable=False)

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        moments = {f"moment_{n}_{level}": m for n, levels in enumerate(self._moments) for level, m in enumerate(levels)}
        return {**super().variables(), **moments, "moves": self._moves, "caution": self._caution}

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: bool) -> None:
        if finite and float(loss) <= CLIMB * float(self.best.loss):
            progress = (int(self.taken) - 1) / int(self.steps)
            falling = FINAL_FRACTION + (1 - FINAL_FRACTION) * (1 + np.cos(np.pi * progress)) / 2
            self._moves.assign_add(1)
            rate = LEARNING_RATE * float(falling) * float(self._caution)
            moments = tf.nest.map_structure(tf.convert_to_tensor, self._moments)
            direction, moments = _adam_at_resolutions(gradient, tf.cast(self._moves, tf.float32), *moments)
            tf.nest.map_structure(lambda variable, value: variable.assign(value), self._moments, moments)
            moved = self.image - rate * direction
            self.image.assign(tf.clip_by_value(moved, 0.0, 1.0) if self._clip else moved)
        else:
            self.image.assign(self.best.image)
            self._caution.assign(self._caution / 2)
            self._moves.assign(0)
            tf.nest.map_structure(lambda moment: moment.assign(tf.zeros_like(moment)), self._moments)


@traced
def _adam_at_resolutions(
    gradient: tf.Tensor, time: tf.Tensor, firsts: list[tf.Tensor], seconds: list[tf.Tensor]
) -> tuple[tf.Tensor, list[list[tf.Tensor]]]:
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
    return direction, [new_firsts, new_seconds]


def _at_resolutions(gradient: tf.Tensor) -> list[tf.Tensor]:
    """Return a gradient with less of its color, and its averages over overlapping blocks 2, 4 and 8 pixels apart."""
    gray = tf.reduce_mean(gradient, axis=-1, keepdims=True)
    resolutions, averages = [gray + FINEST_COLOR * (gradient - gray)], gradient
    for _ in range(RESOLUTIONS - 1):
        averages = tf.nn.avg_pool2d(averages, 4, 2, "SAME")
        resolutions.append(averages)
    return resolutions
