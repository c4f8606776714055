"""What every solver shares: the image as it is, the best so far, and what happens at a step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

# Gradients are divided by their largest entry; below this it is taken for 0.
SMALLEST_GRADIENT = 1e-30
# A loss before there is one; not infinity, which TensorFlow's check_numerics would stop at.
NO_LOSS = float(np.finfo(np.float32).max)
FAILURES = 3


class Best(NamedTuple):
    """The image with the lowest loss so far, and that loss."""

    image: tf.Variable  # (1, height, width, 3)
    loss: tf.Variable


class Solver:
    """Moves an image of one size downhill, and keeps the best one.

    A subclass says in `_move` how the image changes at a step.

    Args:
        image: Where it starts, float32 (1, height, width, 3), RGB in [0, 1].
        steps: How many there will be.
        clip: Whether to keep the image in [0, 1].
    """

    def __init__(self, image: tf.Tensor, steps: int, *, clip: bool = True):
        self.image = tf.Variable(image, trainable=False)
        self.best = Best(tf.Variable(image, trainable=False), tf.Variable(NO_LOSS, trainable=False, dtype=tf.float32))
        self.taken = tf.Variable(0, trainable=False, dtype=tf.int32)
        self.steps = tf.Variable(steps, trainable=False, dtype=tf.int32)
        self.failures = tf.Variable(0, trainable=False, dtype=tf.int32)  # losses or gradients that were not numbers
        self._clip = clip

    @property
    def stuck(self) -> bool:
        """Whether the loss or its gradient was not a number too often."""
        return int(self.failures) >= FAILURES

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        own = {name: getattr(self, name) for name in ("image", "steps", "failures")}
        return {**own, "step": self.taken, "best_image": self.best.image, "best_loss": self.best.loss}

    def step(self, loss: tf.Tensor, gradient: tf.Tensor) -> None:
        """Move the image one step downhill, from its loss and that loss's gradient, and keep the best."""
        finite = bool(np.isfinite(loss) and tf.reduce_all(tf.math.is_finite(gradient)))
        self.failures.assign_add(int(not finite))
        self.keep_best(loss)
        self.taken.assign_add(1)
        self._move(loss, gradient, finite)

    def keep_best(self, loss: tf.Tensor) -> None:
        """Remember the image as it is if its loss is the lowest so far; NaN never is."""
        if float(loss) < float(self.best.loss):
            self.best.loss.assign(loss)
            self._keep_image()

    def _keep_image(self) -> None:
        self.best.image.assign(self.image)

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: bool) -> None:
        raise NotImplementedError
