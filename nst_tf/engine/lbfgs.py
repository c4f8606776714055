"""L-BFGS on the device: a quasi-Newton method whose every step costs one evaluation of the loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nst_tf.engine.solver import NO_LOSS, SMALLEST_GRADIENT, Solver

# However large an image, so many pairs of moves and gradient differences are remembered; of smaller ones as many as
# these bytes hold, and no more than asked for.
FEWEST_PAIRS = 5
PAIRS_BYTES = 512 * 2**20
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


class Search(NamedTuple):
    """Where a line search starts, and along what."""

    origin: tf.Variable  # (1, height, width, 3)
    origin_gradient: tf.Variable  # (1, height, width, 3)
    origin_loss: tf.Variable
    direction: tf.Variable  # (1, height, width, 3)
    length: tf.Variable
    scale: tf.Variable  # what losses and gradients are multiplied by; 0 before the first


class LBFGS(Solver):
    """Minimizes with limited-memory BFGS.

    From the last steps and the changes of the gradient along them it estimates the curvature of the loss, and so
    where its minimum may be.  A step after which the loss has not fallen enough is taken back and tried again,
    shorter.  Gradients are divided by the largest entry of the first, so a loss may have any scale.  In a clipped
    image, pixels that lie at black or white and want to go further are left where they are.

    Args:
        image: As for `Solver`, and so are `steps` and `clip`.
        remembers: How many images it may remember, two in each pair of a move and a change of the gradient.

    Reference:
        Nocedal, Wright: "Numerical Optimization", 2nd edition 2006, algorithms 7.4 and 7.5.
    """

    def __init__(self, image: tf.Tensor, steps: int, *, clip: bool = True, remembers: int = 80):
        super().__init__(image, steps, clip=clip)
        starts = (image, tf.zeros_like(image), NO_LOSS, tf.zeros_like(image), 1.0, 0.0)
        self._search = Search(*(tf.Variable(start, trainable=False, dtype=tf.float32) for start in starts))
        self._pairs = Pairs(min(remembers // 2, pairs_for(image.shape)), int(np.prod(image.shape)))

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that a run consists of, by name: with these restored it goes on where it was."""
        return {**super().variables(), **self._search._asdict(), **self._pairs.variables()}

    def _move(self, loss: tf.Tensor, gradient: tf.Tensor, finite: bool) -> None:
        search = self._search
        if search.scale == 0 and finite:
            search.scale.assign(1 / tf.maximum(tf.reduce_max(tf.abs(gradient)), SMALLEST_GRADIENT))
        loss, gradient = loss * search.scale, gradient * search.scale
        moved = self.image - search.origin
        promised = tf.reduce_sum(search.origin_gradient * moved)
        kept = finite and loss <= search.origin_loss + SUFFICIENT_DECREASE * promised
        new_pair = ()
        if kept:
            new_pair = moved, gradient - search.origin_gradient
            search.origin.assign(self.image)
            search.origin_gradient.assign(gradient)
            search.origin_loss.assign(loss)
        else:
            # The lowest point of the parabola through both losses and the slope between them.
            lowest = -promised / (2 * (loss - search.origin_loss - promised))
            shorter = tf.clip_by_value(lowest, SHORTEST_RETRY, LONGEST_RETRY) if finite else SHORTEST_RETRY
            search.length.assign(search.length * shorter)
        if search.length < SHORTEST_LENGTH:
            self._pairs.clear()
            self._aim()
        elif kept:
            self._aim(*new_pair)
        trial = search.origin + search.length * search.direction
        self.image.assign(tf.clip_by_value(trial, 0.0, 1.0) if self._clip else trial)

    def _aim(self, *new_pair: tf.Tensor) -> None:
        """Choose the next direction: the quasi-Newton one, or down the gradient where that does not lead down."""
        free = self._free()
        gradient = self._search.origin_gradient * free
        direction = -self._pairs.times_inverse_hessian(gradient, *new_pair) * free
        if self._pairs.count == 0 or not -np.inf < float(tf.reduce_sum(direction * gradient)) < 0:
            self._pairs.clear()
            direction = -gradient * (FIRST_STEP / tf.maximum(tf.reduce_max(tf.abs(gradient)), SMALLEST_GRADIENT))
        self._search.direction.assign(direction)
        longest = LONGEST_STEP / tf.maximum(tf.reduce_max(tf.abs(direction)), SMALLEST_GRADIENT)
        self._search.length.assign(tf.minimum(1.0, longest))

    def _free(self) -> tf.Tensor:
        """Return 1 where a pixel may go where the gradient sends it, and 0 where the end of the range is in its way."""
        origin, gradient = self._search.origin, self._search.origin_gradient
        if not self._clip:
            return tf.ones_like(origin)
        at_end = ((origin <= 0) & (gradient > 0)) | ((origin >= 1) & (gradient < 0))
        return tf.cast(~at_end, tf.float32)


class Pairs:
    """The last moves and the changes of the gradient along them, and the products of all of these with each other.

    There is room for `capacity` pairs of images of `size` numbers.
    """

    def __init__(self, capacity: int, size: int):
        # One variable for each pair: TensorFlow copies what it reads of a variable that is written to in places.
        self.rows = [tf.Variable(tf.zeros((2, size)), trainable=False) for _ in range(capacity)]
        self.products = tf.Variable(tf.zeros((2 * capacity, 2 * capacity)), trainable=False)
        self.count = tf.Variable(0, trainable=False, dtype=tf.int32)  # of all pairs until now

    def variables(self) -> dict[str, tf.Variable]:
        """Return all that is remembered, by name."""
        rows = {f"pair_{number}": pair for number, pair in enumerate(self.rows)}
        return {**rows, "products": self.products, "pairs": self.count}

    def clear(self) -> None:
        """Forget all pairs."""
        self.count.assign(0)
        self.products.assign(tf.zeros_like(self.products))

    def times_inverse_hessian(self, gradient: tf.Tensor, *new_pair: tf.Tensor) -> tf.Tensor:
        """Remember a new pair if there is one, and return the estimated inverse Hessian times a gradient.

        The two loops of algorithm 7.4 only ever add up moves, changes and the gradient.  So they run on the
        coefficients of these, given all products between them, and the pairs are read twice: for their products with
        the new images, and for the sum.  All images are (1, height, width, 3); a pair is a move and the change of the
        gradient along it.
        """
        images = tf.reshape(tf.stack([gradient, *new_pair]), (1 + len(new_pair), -1))  # (1 or 3, pixels)
        among_them = tf.matmul(images, images, transpose_b=True).numpy()  # (1 or 3, 1 or 3)
        known = range(min(int(self.count), len(self.rows)))
        with_pairs = np.zeros((len(images), 2 * len(self.rows)), np.float32)
        for number in known:
            columns = slice(2 * number, 2 * number + 2)
            with_pairs[:, columns] = tf.matmul(images, self.rows[number], transpose_b=True)
        if new_pair:
            self._remember(images[1:], among_them, with_pairs)
        coefficients = self._two_loops(with_pairs[0])
        direction = coefficients[-1] * images[0]
        for number in range(min(int(self.count), len(self.rows))):
            pair = coefficients[np.newaxis, 2 * number : 2 * number + 2]
            direction += tf.matmul(pair, self.rows[number])[0]
        return tf.reshape(direction, gradient.shape)

    def _remember(self, pair: tf.Tensor, among_them: np.ndarray, with_pairs: np.ndarray) -> None:
        """Remember a pair, unless the gradient hardly changed along the move; put its products where they belong."""
        curvature, squares = among_them[1, 2], among_them[2, 2]
        if not curvature > SMALLEST_CURVATURE * squares:
            return
        newest = int(self.count) % len(self.rows)
        self.rows[newest].assign(pair)
        columns = slice(2 * newest, 2 * newest + 2)
        with_pairs[:, columns] = among_them[:, 1:]
        products = self.products.numpy()
        products[columns] = with_pairs[1:]
        products[:, columns] = with_pairs[1:].T
        self.products.assign(products)
        self.count.assign_add(1)

    def _two_loops(self, with_gradient: np.ndarray) -> np.ndarray:
        """Return the coefficients of all moves and changes, in turns, and of the gradient, in the direction.

        They follow from the products of all moves and changes with the gradient, (2 capacity,).
        """
        products = np.concatenate([self.products.numpy(), with_gradient[:, np.newaxis]], axis=1, dtype=np.float64)
        coefficients = np.zeros(products.shape[1])
        coefficients[-1] = 1
        count, capacity = int(self.count), len(self.rows)
        newest_first = [2 * (pair % capacity) for pair in range(count - 1, max(-1, count - 1 - capacity), -1)]
        shares = {}
        for move in newest_first:
            change = move + 1
            shares[move] = products[move] @ coefficients / products[move, change]
            coefficients[change] -= shares[move]
        if newest_first:
            move, change = newest_first[0], newest_first[0] + 1
            coefficients /= max(products[change, change] / products[move, change], SMALLEST_GRADIENT)
        for move in reversed(newest_first):
            back = products[move + 1] @ coefficients / products[move, move + 1]
            coefficients[move] += shares[move] - back
        return coefficients.astype(np.float32)


def pairs_for(shape: tuple[int, ...]) -> int:
    """Return how many pairs there is room for with images of a shape."""
    pair_bytes = 2 * 4 * int(np.prod(shape))
    return max(FEWEST_PAIRS, PAIRS_BYTES // pair_bytes)
