"""Keeping the content image's colors, in the two ways of Gatys et al. 2016.

Either the style image is given the content's colors before the run, and the result once more after it
(`match_colors`), or only the luminance is repainted and the content's chroma is put back (`match_luminance`,
`with_luminance`).

Reference:
    Gatys, Bethge, Hertzmann, Shechtman: "Preserving Color in Neural Artistic Style Transfer", arXiv:1606.05897, 2016.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from nst_tf.ground.checks import one_of

METHODS = ("optimal_transport", "cholesky", "pca")
# Added to the variance of each color channel, so that a gray or single-colored image can be matched too: about
# one level of an 8-bit image.
SMALLEST_VARIANCE = 1e-5


def match_colors(
    image: tf.Tensor,
    reference: tf.Tensor,
    *,
    method: str = "optimal_transport",
    mask: np.ndarray | None = None,
    reference_mask: np.ndarray | None = None,
) -> tf.Tensor:
    """Give an image the mean color and the color covariance of another.

    Every color x becomes A (x − μ) + μ', where μ is the image's mean and A makes its covariance Σ the other's, Σ':
    A Σ Aᵀ = Σ'.  Many matrices do; they differ by a rotation of the colors.

    Args:
        image: The image whose colors are moved, as a rule the style image; float32 (1, height, width, 3).
        reference: The image whose colors it is given, of any size.
        method: Which A:

            - `"optimal_transport"`: Σ^−½ (Σ^½ Σ' Σ^½)^½ Σ^−½, the only symmetric positive one; no other moves the
              colors less in the mean square, so none swaps hues that need not be swapped.  Choose this.
            - `"pca"`: Σ'^½ Σ^−½; nearly the same for similar images, but it may turn hues where they are not.
            - `"cholesky"`: L' L⁻¹ of the Cholesky factors; the cheapest, and it depends on the order of the channels:
              red decides over green, green over blue.
        mask: How much each pixel of the image counts, (height, width); all the same if not given.
        reference_mask: The same for the other image.

    Returns:
        float32, of the image's shape.  Some values may leave [0, 1]; a network does not mind.

    Raises:
        ValueError: If the method is unknown.

    Reference:
        Gatys et al. 2016, on color histogram matching, for the linear map, Cholesky and PCA (there "image analogies");
        for the optimal transport between Gaussians: Pitié, Kokaram, "The linear Monge-Kantorovitch linear colour
        mapping for example-based colour transfer", CVMP 2007.
    """
    one_of(method, METHODS, "method")
    mean, covariance = _moments(image, mask)
    wanted, target = _moments(reference, reference_mask)
    if method == "cholesky":
        transform = np.linalg.cholesky(target) @ np.linalg.inv(np.linalg.cholesky(covariance))
    elif method == "pca":
        transform = _power(target, 1 / 2) @ _power(covariance, -1 / 2)
    else:
        root, inverse_root = _power(covariance, 1 / 2), _power(covariance, -1 / 2)
        transform = inverse_root @ _power(root @ target @ root, 1 / 2) @ inverse_root
    moved = (np.asarray(image, np.float64).reshape(-1, 3) - mean) @ transform.T + wanted
    return tf.constant(moved.reshape(image.shape), tf.float32)


def match_luminance(image: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Return an image in gray whose luminance has the mean and the standard deviation of another's, of any size.

    Both are (1, height, width, 3); some values may leave [0, 1].

    Reference:
        Gatys et al. 2016, on luminance-only transfer: L' = σ(content) / σ(style) · (L − μ(style)) + μ(content).
    """
    own, wanted = map(tf.image.rgb_to_grayscale, (image, reference))
    # A style image of one gray has nothing to stretch.
    scale = tf.math.reduce_std(wanted) / tf.maximum(tf.math.reduce_std(own), SMALLEST_VARIANCE**0.5)
    matched = (own - tf.reduce_mean(own)) * scale + tf.reduce_mean(wanted)
    return tf.image.grayscale_to_rgb(matched)


def with_luminance(image: tf.Tensor, brightness: tf.Tensor) -> tf.Tensor:
    """Return an image with its own chroma and another's luminance.

    Adding the same to R, G and B changes the luminance alone.  Where the sum would leave [0, 1] less is added, so that
    the chroma is kept exactly.  The image is (1, height, width, 3) in [0, 1], the other's luminance, `brightness`,
    (1, height, width, 1).

    Reference:
        Gatys et al. 2016, on luminance-only transfer.
    """
    added = brightness - tf.image.rgb_to_grayscale(image)
    least = -tf.reduce_min(image, axis=-1, keepdims=True)
    most = 1 - tf.reduce_max(image, axis=-1, keepdims=True)
    return image + tf.clip_by_value(added, least, most)


def _moments(image: tf.Tensor, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean color, and the covariance of the colors with a little variance added."""
    colors = np.asarray(image, np.float64).reshape(-1, 3)
    weights = None if mask is None else np.asarray(mask, np.float64).ravel()
    covariance = np.cov(colors.T, ddof=0, aweights=weights)
    return np.average(colors, axis=0, weights=weights), covariance + SMALLEST_VARIANCE * np.eye(3)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """Return a power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T
