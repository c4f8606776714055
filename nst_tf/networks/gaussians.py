"""The distance between the Gaussians that have the means and covariances of two sets of features."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

# Added to every variance, so that there is a root where channels never fire or always fire together.
SMALLEST_VARIANCE = 1e-4
# Of an eigenvalue beside the largest, where the moments were summed in float32.
ROUNDING = 1e-6


class Gaussian(NamedTuple):
    """What the distance needs of its target, in float64."""

    mean: tf.Tensor  # m', (…, channels)
    root: tf.Tensor  # S'^½, (…, channels, channels)

    def energy(self) -> tf.Tensor:
        """Return |m'|² + tr S', (…), the squared distance of features that are all 0."""
        return tf.reduce_sum(tf.square(self.mean), axis=-1) + self.variance()

    def variance(self) -> tf.Tensor:
        """Return tr S', (…)."""
        return tf.reduce_sum(tf.square(self.root), axis=(-2, -1))


def gaussian_of(gram: tf.Tensor) -> Gaussian:
    """Return the Gaussian of a target's raw moments, (…, channels + 1, channels + 1), as `squared_wasserstein` has it.

    Its root costs as much as a distance does, and serves for a whole run.
    """
    mean, covariance = _mean_and_covariance(gram)
    values, vectors = _eigenpairs(covariance)
    return Gaussian(mean, tf.matmul(vectors * tf.sqrt(values)[..., tf.newaxis, :], vectors, transpose_b=True))


def squared_wasserstein(gram: tf.Tensor, target: Gaussian) -> tf.Tensor:
    """Return the squared 2-Wasserstein distance of two Gaussians, |m − m'|² + tr(S + S' − 2 (S'^½ S S'^½)^½).

    The first is of features whose normalized Gram matrix together with a channel of ones is (…, channels + 1,
    channels + 1): the raw second moments, with the means in its last row and column.  Returns (…), in float64, since it
    is a small difference of large sums.

    Reference:
        Olkin, Pukelsheim: "The distance between two random vectors with given dispersion matrices", Linear Algebra and
        its Applications, 1982; as a style loss: Crowson, style-transfer-pytorch, 2020.
    """
    mean, covariance = _mean_and_covariance(gram)
    root = _trace_of_root(tf.matmul(tf.matmul(target.root, covariance), target.root))
    distance = tf.reduce_sum(tf.math.squared_difference(mean, target.mean), axis=-1)
    return distance + tf.linalg.trace(covariance) + target.variance() - 2 * root


def _mean_and_covariance(gram: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and covariance, (…, channels) and (…, channels, channels), from raw moments."""
    gram = tf.cast(gram, tf.float64)
    mean = gram[..., -1, :-1]
    covariance = gram[..., :-1, :-1] - mean[..., :, tf.newaxis] * mean[..., tf.newaxis, :]
    return mean, covariance + SMALLEST_VARIANCE * tf.eye(tf.shape(mean)[-1], dtype=tf.float64)


@tf.custom_gradient
def _trace_of_root(matrix: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return tr M^½ of symmetric matrices; its gradient is ½ M^−½, even where eigenvalues are equal."""
    values, vectors = _eigenpairs(matrix)
    # Below this an eigenvalue is rounding of the float32 moments, and its own root would blow the gradient up.
    known = tf.maximum(values, tf.maximum(ROUNDING * values[..., -1:], SMALLEST_VARIANCE**2))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        inverse = tf.matmul(vectors / (2 * tf.sqrt(known)[..., tf.newaxis, :]), vectors, transpose_b=True)
        return upstream[..., tf.newaxis, tf.newaxis] * inverse

    return tf.reduce_sum(tf.sqrt(values), axis=-1), gradient


def _eigenpairs(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return eigenvalues, at least 0 whatever rounding made of them, and eigenvectors; NaN of what is not a number."""
    finite = tf.reduce_all(tf.math.is_finite(matrix))
    # TensorFlow would raise an error, where a run with half precision can go on in float32.
    values, vectors = tf.linalg.eigh(tf.where(finite, matrix, tf.zeros_like(matrix)))
    return tf.maximum(values, 0.0) + 0.0 * tf.reduce_sum(matrix), vectors
