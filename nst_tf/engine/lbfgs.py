"""L-BFGS on the device: a quasi-Newton method whose every step costs one evaluation of the loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from nst_tf.engine.solver import NO_LOSS, SMALLEST_GRADIENT, Evaluation, Solver

# How many pairs of steps and gradient differences are remembered: as many as find room, within limits.
MOST_PAIRS, FEWEST_PAIRS = 40, 5
PUBLISHED_PAIRS = 20  # in the published recipes
PAIRS_BYTES = 512 * 2**20
# TensorFlow copies what it reads of a variable that is written to in places.  So what is remembered is read in about so
# many parts, which is one row at a time where there are fewest.
PARTS = 2 * FEWEST_PAIRS
# The largest change of a pixel in the first step, which knows nothing yet of the loss's curvature.
FIRST_STEP = 0.02
# No step moves a pixel further than this.
LONGEST_STEP = 0.5
# Of the decrease that the slope promises, what a step must bring to be kept.
SUFFICIENT_DECREASE = 1e-4
# A step that is taken back is tried again, this much shorter at most and at least.
SHORTEST_RETRY, LONGEST_RETRY = 0.1, 0.5
# A direction along which no step longer than this brings a decrease is given up.
SHORTEST_LENGTH = 1e-3
# A pair tells nothing of the curvature if the gradient hardly changed along the step.
SMALLEST_CURVATURE = 1e-10


class LBFGS(Solver):
    """Minimises with limited-memory BFGS.

    From the last steps and the changes of the gradient along them it estimates the curvature of the loss, and so
    where its minimum may be.  A step after which the loss has not fallen enough is taken back and tried again,
    shorter.  Gradients are divided by the largest entry of the first, so a loss may have any scale.  In a clipped
    picture, pixels that lie at black or white and want to go further are left where they are.

    Reference:
        Nocedal, Wright: "Numerical Optimization", 2nd edition 2006, algorithms 7.4 and 7.5.
    """

    def __init__(self, evaluation: Evaluation, shape: tuple[int, ...], *, clip: bool = True, pairs: int | None = None):
        super().__init__(evaluation, shape, clip=clip)
        self._origin = tf.Variable(tf.zeros(shape), trainable=False)
        self._origin_gradient = tf.Variable(tf.zeros(shape), trainable=False)
        self._origin_loss = tf.Variable(NO_LOSS, trainable=False, dtype=tf.float32)
        self._direction = tf.Variable(tf.zeros(shape), trainable=False)
        self._length = tf.Variable(1.0, trainable=False)
        self._scale = tf.Variable(0.0, trainable=False)
        self._room = min(pairs or MOST_PAIRS, pairs_for(shape))
        self._pairs = tf.Variable(0, trainable=False, dtype=tf.int32)
        # The moves first, the changes of the gradient after them; then the products of all rows with all.
        self._rows = tf.Variable(tf.zeros((2 * self._room, int(np.prod(shape)))), trainable=False)
        self._products = tf.Variable(tf.zeros((2 * self._room, 2 * self._room)), trainable=False)
        self._rows_at_once = max(1, 2 * self._room // PARTS)

    def start(self, image: tf.Tensor, steps: int) -> None:
        """Forget the run before, and begin one of so many steps at a picture in [0, 1]."""
        super().start(image, steps)
        self._origin.assign(image)
        self._origin_gradient.assign(tf.zeros_like(self._origin))
        self._origin_loss.assign(NO_LOSS)
        self._direction.assign(tf.zeros_like(self._direction))
        self._length.assign(1.0)
        self._scale.assign(0.0)
        self._forget_pairs()

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        names = ("origin", "origin_gradient", "origin_loss", "direction", "length", "scale")
        names += ("pairs", "rows", "products")
        return {**super().variables(), **{name: getattr(self, f"_{name}") for name in names}}

    def _forget_pairs(self) -> None:
        self._pairs.assign(0)
        self._products.assign(tf.zeros_like(self._products))

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: bool) -> None:
        if self._scale == 0 and finite:
            self._scale.assign(1 / tf.maximum(tf.reduce_max(tf.abs(gradient)), SMALLEST_GRADIENT))
        loss, gradient = loss * self._scale, gradient * self._scale
        moved = self.image - self._origin
        promised = tf.reduce_sum(self._origin_gradient * moved)
        kept = finite and loss <= self._origin_loss + SUFFICIENT_DECREASE * promised
        if kept:
            self._remember(moved, gradient - self._origin_gradient)
            self._origin.assign(self.image)
            self._origin_gradient.assign(gradient)
            self._origin_loss.assign(loss)
        else:
            # The lowest point of the parabola through both losses and the slope between them.
            lowest = -promised / (2 * (loss - self._origin_loss - promised))
            shorter = tf.clip_by_value(lowest, SHORTEST_RETRY, LONGEST_RETRY) if finite else SHORTEST_RETRY
            self._length.assign(self._length * shorter)
        in_vain = self._length < SHORTEST_LENGTH
        if in_vain:
            self._forget_pairs()
        if kept or in_vain:
            self._aim()
        trial = self._origin + self._length * self._direction
        self.image.assign(tf.clip_by_value(trial, 0.0, 1.0) if self._clip else trial)

    def _remember(self, moved: tf.Tensor, change: tf.Tensor) -> None:
        curvature = tf.reduce_sum(moved * change)
        if curvature > SMALLEST_CURVATURE * tf.reduce_sum(tf.square(change)):
            newest = int(self._pairs) % self._room
            rows = [newest, self._room + newest]
            pair = tf.reshape(tf.stack([moved, change]), (2, -1))
            self._rows.scatter_update(tf.IndexedSlices(pair, rows))
            products, own = self._products.numpy(), self._times_rows(pair)
            # The curvature is put in as it was found positive; the sum in another order might say otherwise.
            own[0, rows[1]] = own[1, rows[0]] = float(curvature)
            products[rows], products[:, rows] = own, own.T
            self._products.assign(products)
            self._pairs.assign_add(1)

    def _aim(self) -> None:
        """Choose the next direction: the quasi-Newton one, or down the gradient where that does not lead down."""
        gradient = self._origin_gradient * self._free()
        direction = -self._times_inverse_hessian(gradient) * self._free()
        if self._pairs == 0 or tf.reduce_sum(direction * gradient) >= 0:
            self._forget_pairs()
            direction = -gradient * (FIRST_STEP / tf.maximum(tf.reduce_max(tf.abs(gradient)), SMALLEST_GRADIENT))
        self._direction.assign(direction)
        self._length.assign(tf.minimum(1.0, LONGEST_STEP / tf.maximum(tf.reduce_max(tf.abs(direction)), 1e-30)))

    def _free(self) -> tf.Tensor:
        """Return 1 where a pixel may go where the gradient sends it, and 0 where the end of the range is in its way."""
        if not self._clip:
            return tf.ones_like(self._origin)
        at_black = (self._origin <= 0) & (self._origin_gradient > 0)
        at_white = (self._origin >= 1) & (self._origin_gradient < 0)
        return tf.cast(~(at_black | at_white), tf.float32)

    def _times_inverse_hessian(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return the estimated inverse Hessian times a gradient.

        The two loops of algorithm 7.4 only ever add up moves, changes and the gradient.  So they run on the
        coefficients of these, given all products between them, and read the rows twice.
        """
        room, pairs = self._room, int(self._pairs)
        flat = tf.reshape(gradient, (1, -1))
        products = np.concatenate([self._products.numpy(), self._times_rows(flat).T], axis=1)
        coefficients = np.zeros(2 * room + 1, np.float32)
        coefficients[-1] = 1  # of the gradient
        shares = {}
        newest_first = [pair % room for pair in range(pairs - 1, max(-1, pairs - 1 - room), -1)]
        for row in newest_first:
            shares[row] = products[row] @ coefficients / products[row, room + row]
            coefficients[room + row] -= shares[row]
        if newest_first:
            latest = newest_first[0]
            energy = products[room + latest, room + latest] / products[latest, room + latest]
            coefficients /= max(energy, SMALLEST_GRADIENT)
        for row in reversed(newest_first):
            back = products[room + row] @ coefficients / products[row, room + row]
            coefficients[row] += shares[row] - back
        direction = coefficients[-1] * flat[0] + self._sum_of_rows(coefficients[:-1])
        return tf.reshape(direction, gradient.shape)

    def _times_rows(self, pictures: tf.Tensor) -> np.ndarray:
        """Return the products of pictures, (count, pixels), with all rows, as (count, rows)."""
        parts = [tf.matmul(tf.gather(self._rows, rows), pictures, transpose_b=True) for rows in self._parts()]
        return np.concatenate(parts).T.copy()

    def _sum_of_rows(self, coefficients: np.ndarray) -> tf.Tensor:
        """Return the sum of all rows, each times its coefficient, as (pixels,)."""
        total = tf.zeros(self._rows.shape[1])
        for rows in self._parts():
            total += tf.linalg.matvec(tf.gather(self._rows, rows), coefficients[rows], transpose_a=True)
        return total

    def _parts(self) -> Iterator[np.ndarray]:
        """Yield the numbers of the rows that are read at once."""
        for first in range(0, 2 * self._room, self._rows_at_once):
            yield np.arange(first, min(first + self._rows_at_once, 2 * self._room))


def pairs_for(shape: tuple[int, ...]) -> int:
    """Return how many pairs are remembered for pictures of a shape."""
    pair_bytes = 2 * 4 * int(np.prod(shape))
    return int(np.clip(PAIRS_BYTES // pair_bytes, FEWEST_PAIRS, MOST_PAIRS))
