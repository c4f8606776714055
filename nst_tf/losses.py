"""The losses of neural style transfer, as pure functions of tensors.

Notation, for one layer: F are the features of the generated image and P those of the content image, with C channels
at M = height × width positions; G = FᵀF is the Gram matrix of F seen as an M × C matrix, A that of the style image;
g = G / M and a = A / M are the same, averaged over positions.

Half-precision tensors are lifted to float32 before anything is summed, since a Gram matrix sums over a hundred
thousand positions; float64 stays float64.
"""

from collections.abc import Callable

import tensorflow as tf

CONTENT_FORMS = ("sum", "half_sum", "mean", "quarter_mean", "relative")
STYLE_FORMS = ("mean", "quarter_mean", "udacity", "keras", "relative")
TOTAL_VARIATION_FORMS = ("absolute", "squared", "nine_point", "keras")

# The energy under which a target counts as empty: dividing by less would turn rounding errors into a loss.
SMALLEST_ENERGY = 1e-8


def gram_matrix(features: tf.Tensor, *, normalize: bool = True) -> tf.Tensor:
    """Multiply every pair of channels and add up over all positions.

    G[b, i, j] = Σ over positions k of F[b, k, i] · F[b, k, j].  It says which channels fire together, and forgets
    where.

    Args:
        features: (batch, height, width, channels), any floating-point type.
        normalize: Divide by height × width, so that pictures of different sizes can be compared.

    Returns:
        (batch, channels, channels), symmetric; float32, or float64 for float64 features.

    Raises:
        ValueError: If the features do not have four dimensions.

    Reference:
        Gatys, Ecker, Bethge: "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, equation 3,
        which does not normalise.

    Example:
        >>> gram_matrix(tf.ones((1, 4, 4, 8))).shape
        TensorShape([1, 8, 8])
    """
    features = float32_at_least(features)
    if features.shape.rank != 4:
        raise ValueError(f"Expected features of shape (batch, height, width, channels), got {features.shape}.")
    batch, height, width, channels = tf.unstack(tf.shape(features))
    gram = _transposed_times_itself(tf.reshape(features, (batch, height * width, channels)))  # (batch, C, C)
    return gram / tf.cast(height * width, gram.dtype) if normalize else gram


@tf.custom_gradient
def _transposed_times_itself(flat: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return FᵀF of (batch, M, C), with its gradient as one product where TensorFlow's own would be two."""

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return tf.matmul(flat, upstream + tf.linalg.matrix_transpose(upstream))

    return tf.matmul(flat, flat, transpose_a=True), gradient


def content_loss(
    features: tf.Tensor, target: tf.Tensor, *, form: str = "mean", channels: int | None = None
) -> tf.Tensor:
    """Say how far the features of the generated image are from those of the content image.

    Args:
        features: F, (batch, height, width, channels).
        target: P, of the same shape.
        form: How the squared differences become one number:

            - `"sum"`: Σ(F − P)²
            - `"half_sum"`: ½ Σ(F − P)², Gatys et al. 2016, equation 1
            - `"mean"`: Σ(F − P)² / (M·C)
            - `"quarter_mean"`: Σ(F − P)² / (4·M·C)
            - `"relative"`: Σ(F − P)² / ΣP², so that 1 is the distance of a picture without any features
        channels: C where it is not the features' own number; see `FeatureExtractor`.

    Returns:
        Scalar, at least 0, in float32 (float64 for float64 features).

    Raises:
        ValueError: If the shapes differ or the form is unknown.
    """
    features, target = float32_at_least(features), float32_at_least(target)
    if not features.shape.is_compatible_with(target.shape):
        raise ValueError(f"Features of shape {features.shape} cannot be compared with a target of {target.shape}.")
    scale = content_scale(target, form=form, channels=channels)
    return scale * tf.reduce_sum(tf.math.squared_difference(features, target))


def content_scale(target: tf.Tensor, *, form: str = "mean", channels: int | None = None) -> tf.Tensor:
    """Return what Σ(F − P)² is multiplied by in a form of the content loss.

    Args:
        target: P, (batch, height, width, channels).
        form: As for `content_loss`.
        channels: As for `content_loss`.

    Returns:
        Scalar, in float32 (float64 for a float64 target).

    Raises:
        ValueError: If the form is unknown.
    """
    target = float32_at_least(target)
    own_entries = tf.cast(tf.size(target), target.dtype)
    entries = own_entries if channels is None else own_entries * (channels / target.shape[-1])  # M·C
    if form == "sum":
        return tf.ones((), target.dtype)
    if form == "half_sum":
        return tf.constant(1 / 2, target.dtype)
    if form == "mean":
        return 1 / entries
    if form == "quarter_mean":
        return 1 / (4 * entries)
    if form == "relative":
        return 1 / (own_entries * tf.maximum(tf.reduce_mean(tf.square(target)), SMALLEST_ENERGY))
    raise ValueError(f"Unknown form of the content loss {form!r}; expected one of {', '.join(CONTENT_FORMS)}.")


def style_loss(
    gram: tf.Tensor,
    target: tf.Tensor,
    *,
    form: str = "mean",
    positions: tf.Tensor | int | None = None,
    image_pixels: tf.Tensor | int | None = None,
    channels: int | None = None,
) -> tf.Tensor:
    """Say how far the Gram matrix of the generated image is from that of the style image, at one layer.

    With S = Σ(G − A)², the sum of squares that the papers write, and g = G / M, a = A / M for features of one size,
    S = M² Σ(g − a)².  Taking the normalised matrices keeps the numbers in range and lets the style picture have a
    size of its own.

    Args:
        gram: g, (batch, channels, channels): `gram_matrix(features)`, normalised.
        target: a, of the same shape.
        form: How the squared differences become one number:

            - `"mean"`: Σ(g − a)² / C² = S / (C²M²), the TensorFlow tutorial's
            - `"quarter_mean"`: Σ(g − a)² / (4C²) = S / (4C²M²), Gatys et al. 2016, equation 4
            - `"udacity"`: mean of (G − A)², divided by C·M: S / (C³M); needs `positions`
            - `"keras"`: S / (4 · 3² · pixels²), with the pixels of the image and its 3 colours where equation 4 has
              the layer's M and C; needs `positions` and `image_pixels`
            - `"relative"`: Σ(g − a)² / Σa², so that 1 is the distance of a picture without any features
        positions: M, height × width of the layer.
        image_pixels: height × width of the image.
        channels: C where it is not the matrix's own number; see `FeatureExtractor`.

    Returns:
        Scalar, at least 0, in float32 (float64 for float64 matrices).

    Raises:
        ValueError: If the shapes differ, the form is unknown, or what the form needs is missing.
    """
    gram, target = float32_at_least(gram), float32_at_least(target)
    if not gram.shape.is_compatible_with(target.shape):
        raise ValueError(f"A Gram matrix of shape {gram.shape} cannot be compared with a target of {target.shape}.")
    channels = channels or gram.shape[-1]
    summed = tf.reduce_sum(tf.math.squared_difference(gram, target))  # Σ(g − a)²
    if form == "mean":
        return summed / channels**2
    if form == "quarter_mean":
        return summed / (4 * channels**2)
    if form == "udacity":
        return summed * _count(positions, "positions", form, gram.dtype) / channels**3
    if form == "keras":
        m = _count(positions, "positions", form, gram.dtype)
        pixels = _count(image_pixels, "image_pixels", form, gram.dtype)
        return summed * tf.square(m / pixels) / (4 * 3**2)
    if form == "relative":
        return summed / tf.maximum(tf.reduce_sum(tf.square(target)), SMALLEST_ENERGY)
    raise ValueError(f"Unknown form of the style loss {form!r}; expected one of {', '.join(STYLE_FORMS)}.")


def total_variation_loss(
    image: tf.Tensor, *, form: str = "nine_point", relative_to: tf.Tensor | None = None
) -> tf.Tensor:
    """Say how rough a picture is: what neighbouring pixels differ by, summed over the picture.

    Args:
        image: (batch, height, width, channels), any range; the loss is in that range's units.
        form: Which differences, and how they are added:

            - `"absolute"`: sum of the absolute differences down and across
            - `"squared"`: Σ(down² + across²)
            - `"nine_point"`: Σ(⅔ down² + ⅔ across² + ⅙ of both diagonals²), whose gradient is the nine-point
              Laplacian; a slanted line costs about what an upright one does
            - `"keras"`: Σ(down² + across²)^1.25 over all but the last row and column, the keras.io example's
        relative_to: A picture whose own total variation the sum is divided by; 1 then means "as rough as that one".

    Returns:
        Scalar, at least 0, in float32 (float64 for float64 pictures).

    Raises:
        ValueError: If the form is unknown.

    Reference:
        Rudin, Osher, Fatemi: "Nonlinear total variation based noise removal algorithms", Physica D 1992; as a term
        of style transfer in Mahendran and Vedaldi: "Understanding deep image representations by inverting them",
        CVPR 2015, section 3.2.
    """
    image = float32_at_least(image)
    roughness = _roughness(image, form)
    if relative_to is None:
        return roughness
    return roughness / tf.maximum(_roughness(float32_at_least(relative_to), form), SMALLEST_ENERGY)


def _roughness(image: tf.Tensor, form: str) -> tf.Tensor:
    down = image[:, 1:, :, :] - image[:, :-1, :, :]
    across = image[:, :, 1:, :] - image[:, :, :-1, :]
    if form == "absolute":
        return tf.reduce_sum(tf.abs(down)) + tf.reduce_sum(tf.abs(across))
    if form == "squared":
        return tf.reduce_sum(tf.square(down)) + tf.reduce_sum(tf.square(across))
    if form == "nine_point":
        falling = image[:, 1:, 1:, :] - image[:, :-1, :-1, :]
        rising = image[:, 1:, :-1, :] - image[:, :-1, 1:, :]
        sides = tf.reduce_sum(tf.square(down)) + tf.reduce_sum(tf.square(across))
        diagonals = tf.reduce_sum(tf.square(falling)) + tf.reduce_sum(tf.square(rising))
        return sides * 2 / 3 + diagonals / 6
    if form == "keras":
        squared = tf.square(down[:, :, :-1, :]) + tf.square(across[:, :-1, :, :])
        return tf.reduce_sum(tf.pow(squared, 1.25))
    raise ValueError(
        f"Unknown form of the total variation {form!r}; expected one of {', '.join(TOTAL_VARIATION_FORMS)}."
    )


def float32_at_least(tensor: tf.Tensor) -> tf.Tensor:
    """Return half-precision tensors as float32, and the others as they are."""
    tensor = tf.convert_to_tensor(tensor)
    return tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor


def _count(value: tf.Tensor | int | None, name: str, form: str, dtype: tf.DType) -> tf.Tensor:
    if value is None:
        raise ValueError(f"The {form!r} form of the style loss needs {name}.")
    return tf.cast(value, dtype)
