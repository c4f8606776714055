"""The fast solver: Adam on the picture at several resolutions at once, many steps in one traced call.

Adam moves every pixel by about its learning rate, whatever the gradient's size.  That makes it indifferent to a
loss's scale, but a broad change of tone then needs as many steps as fine grain does, and the grain gets there first
and stays.  So the gradient is also averaged over blocks of 2 × 2, 4 × 4 and 8 × 8 pixels, each size has an Adam of its
own, and the picture takes the sum of their steps: tones and shapes move at once, and the learning rate can be small
enough for the grain to settle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

BETA_1 = 0.9
BETA_2 = 0.99
# Only there to forbid 0 / 0: a loss may be scaled to any order of magnitude.
EPSILON = 1e-30
FINAL_FRACTION = 0.05
RESOLUTIONS = 4


class Solver:
    """Minimises a loss over a picture of one size; made once and used for any number of runs.

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
        self._first_moments = [tf.Variable(blurred, trainable=False) for blurred in _at_resolutions(tf.zeros(shape))]
        self._second_moments = [tf.Variable(blurred, trainable=False) for blurred in _at_resolutions(tf.zeros(shape))]

    def start(self, image: tf.Tensor) -> None:
        """Forget the run before and begin at a picture."""
        self.image.assign(image)
        self.best_image.assign(image)
        self.best_loss.assign(np.inf)
        self.step.assign(0)
        for moment in (*self._first_moments, *self._second_moments):
            moment.assign(tf.zeros_like(moment))

    @tf.function(reduce_retracing=True)
    def advance(self, targets: Any, count: tf.Tensor, steps: tf.Tensor, learning_rate: tf.Tensor) -> tf.Tensor:
        """Take some steps of a run.

        Args:
            targets: Handed to the losses.
            count: int32, how many steps to take now.
            steps: float32, how many the whole run takes; the learning rate falls over it as a cosine.
            learning_rate: float32, at the run's beginning, in the picture's unit.

        Returns:
            float32 (count, parts), the losses before each step.
        """
        history = tf.TensorArray(tf.float32, size=count)
        for index in tf.range(count):
            with tf.GradientTape() as tape:
                tape.watch(self.image)
                losses = self._losses(self.image, targets)
            gradient = tape.gradient(losses[0], self.image)
            history = history.write(index, tf.stack(losses))
            self._keep_best(losses[0])
            self.step.assign_add(1)
            progress = tf.cast(self.step - 1, tf.float32) / steps
            falling = FINAL_FRACTION + (1 - FINAL_FRACTION) * 0.5 * (1 + tf.cos(np.pi * progress))
            moved = self.image - learning_rate * falling * self._direction(gradient)
            self.image.assign(tf.clip_by_value(moved, 0.0, 1.0) if self._clip else moved)
        return history.stack()

    @tf.function(reduce_retracing=True)
    def finish(self, targets: Any) -> tf.Tensor:
        """Return the losses of the picture after the last step, and keep it if it is the best."""
        losses = self._losses(self.image, targets)
        self._keep_best(losses[0])
        return tf.stack(losses)

    def _keep_best(self, loss: tf.Tensor) -> None:
        better = loss < self.best_loss  # false for NaN
        self.best_image.assign(tf.where(better, self.image, self.best_image))
        self.best_loss.assign(tf.where(better, loss, self.best_loss))

    def _direction(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return the sum over all resolutions of Adam's step, before the learning rate.

        Reference:
            Kingma, Ba: "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
        """
        # Without this, squares of the gradients of some published losses leave float32's range.
        gradient /= tf.maximum(tf.reduce_max(tf.abs(gradient)), EPSILON)
        time = tf.cast(self.step, tf.float32)
        direction = tf.zeros_like(gradient)
        for blurred, first, second in zip(
            _at_resolutions(gradient), self._first_moments, self._second_moments, strict=True
        ):
            first.assign(BETA_1 * first + (1 - BETA_1) * blurred)
            second.assign(BETA_2 * second + (1 - BETA_2) * tf.square(blurred))
            first_unbiased = first / (1 - BETA_1**time)
            second_unbiased = second / (1 - BETA_2**time)
            direction += tf.image.resize(
                first_unbiased / (tf.sqrt(second_unbiased) + EPSILON), gradient.shape[1:3], "bilinear"
            )
        return direction


def _at_resolutions(image: tf.Tensor) -> list[tf.Tensor]:
    """Return a picture, and its averages over blocks of 2 × 2, 4 × 4 and 8 × 8 pixels."""
    resolutions = [image]
    for _ in range(RESOLUTIONS - 1):
        resolutions.append(tf.nn.avg_pool2d(resolutions[-1], 2, 2, "SAME"))
    return resolutions
