"""The distance between the Gaussians that have the means and covariances of two sets of features."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

# Added to every variance, so that there is a root where channels never fire or always fire together.
SMALLEST_VARIANCE = 1e-4


def squared_wasserstein(gram: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Return the squared 2-Wasserstein distance of two Gaussians, |m − m'|² + tr(S + S' − 2 (S'^½ S S'^½)^½).

    Args:
        gram: (…, channels + 1, channels + 1), a normalised Gram matrix of features and a channel of ones: the raw
            second moments, with the means in its last row and column.
        target: The same of the other features.

    Returns:
        (…), of the matrices' type; computed in float64, since it is a small difference of large sums.

    Reference:
        Olkin, Pukelsheim: "The distance between two random vectors with given dispersion matrices", Linear Algebra and
        its Applications, 1982; as a style loss: Crowson, style-transfer-pytorch, 2020.
    """
    (mean, covariance), (other_mean, other) = map(_gaussian, (gram, target))
    values, vectors = _eigenpairs(other)
    root = tf.matmul(vectors * tf.sqrt(values)[..., tf.newaxis, :], vectors, transpose_b=True)
    root = _trace_of_root(tf.matmul(tf.matmul(root, covariance), root))
    distance = tf.reduce_sum(tf.math.squared_difference(mean, other_mean), axis=-1)
    distance += tf.linalg.trace(covariance) + tf.linalg.trace(other) - 2 * root
    return tf.cast(distance, gram.dtype)


def _gaussian(gram: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and covariance, (batch, channels) and (batch, channels, channels), from raw moments."""
    gram = tf.cast(gram, tf.float64)
    mean = gram[..., -1, :-1]
    covariance = gram[..., :-1, :-1] - mean[..., :, tf.newaxis] * mean[..., tf.newaxis, :]
    return mean, covariance + SMALLEST_VARIANCE * tf.eye(tf.shape(mean)[-1], dtype=tf.float64)


@tf.custom_gradient
def _trace_of_root(matrix: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return tr M^½ of symmetric matrices; its gradient is ½ M^−½, even where eigenvalues are equal."""
    values, vectors = _eigenpairs(matrix)
    roots = tf.sqrt(tf.maximum(values, SMALLEST_VARIANCE**2))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        inverse = tf.matmul(vectors / (2 * roots[..., tf.newaxis, :]), vectors, transpose_b=True)
        return upstream[..., tf.newaxis, tf.newaxis] * inverse

    return tf.reduce_sum(roots, axis=-1), gradient


def _eigenpairs(matrix: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return eigenvalues, at least 0 whatever rounding made of them, and eigenvectors; NaN of what is not a number."""
    finite = tf.reduce_all(tf.math.is_finite(matrix))
    # TensorFlow would raise an error, where a run with half precision can go on in float32.
    values, vectors = tf.linalg.eigh(tf.where(finite, matrix, tf.zeros_like(matrix)))
    return tf.maximum(values, 0.0) + 0.0 * tf.reduce_sum(matrix), vectors
