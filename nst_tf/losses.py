"""The losses of neural style transfer, as pure functions of tensors.

Notation, for one layer: F are the features of the generated image and P those of the content image, with C channels
at M = height × width positions; G = FᵀF is the Gram matrix of F seen as an M × C matrix, A that of the style image;
g = G / M and a = A / M are the same, averaged over positions.

Half-precision tensors are lifted to float32 before anything is summed, since a Gram matrix sums over a hundred
thousand positions; float64 stays float64.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from nst_tf.ground.checks import one_of
from nst_tf.networks.gaussians import Gaussian, gaussian_of, squared_wasserstein


class Size(NamedTuple):
    """What a form's factor may depend on."""

    channels: Any  # C
    positions: Any = None  # M
    pixels: Any = None  # height × width of the image


class Form(NamedTuple):
    """One way to make a loss of squared differences."""

    # What the sum of squares is multiplied by, from the layer's `Size`; None in forms that are not a fixed multiple of
    # it.  In relative ones the sum is divided by the target's own, so that 1 is the distance of an image without any
    # features.
    factor: Callable[[Size], Any] | None
    formula: str  # in plain text
    latex: str  # the same for notebooks
    # What is taken in place of the sum of squares, from the Gram matrix of features beside which stands a channel of
    # ones (`with_ones`), the target's `Gaussian`, and C.
    distance: Callable[[tf.Tensor, Gaussian, int], tf.Tensor] | None = None


class VariationForm(NamedTuple):
    """One way to add up what neighboring pixels differ by."""

    total: Callable[..., tf.Tensor]  # from the differences down, across, falling and rising, to the sum over an image
    formula: str  # in plain text
    latex: str  # the same for notebooks


# Factors of Σ(F − P)².
CONTENT_FORMS = {
    "sum": Form(lambda of: 1.0, "Σ(F − P)²", r"\sum (F - P)^2"),
    # Gatys et al. 2016, equation 1.
    "half_sum": Form(lambda of: 1 / 2, "½ Σ(F − P)²", r"\tfrac{1}{2} \sum (F - P)^2"),
    "mean": Form(lambda of: 1 / (of.positions * of.channels), "Σ(F − P)² / (M·C)", r"\frac{1}{M C} \sum (F - P)^2"),
    "quarter_mean": Form(
        lambda of: 1 / (4 * of.positions * of.channels), "Σ(F − P)² / (4·M·C)", r"\frac{1}{4 M C} \sum (F - P)^2"
    ),
    "relative": Form(None, "Σ(F − P)² / ΣP²", r"\frac{\sum (F - P)^2}{\sum P^2}"),
}
# Factors of Σ(g − a)² = Σ(G − A)² / M².
STYLE_FORMS = {
    # TensorFlow's tutorial.
    "mean": Form(
        lambda of: 1 / of.channels**2,
        "Σ(G/M − A/M)² / C²",
        r"\frac{1}{C^2} \sum \left(\frac{G}{M} - \frac{A}{M}\right)^2",
    ),
    # Gatys et al. 2016, equation 4.
    "quarter_mean": Form(
        lambda of: 1 / (4 * of.channels**2), "Σ(G − A)² / (4·C²·M²)", r"\frac{1}{4 C^2 M^2} \sum (G - A)^2"
    ),
    # Udacity's exercise: the mean of (G − A)², divided by C·M.
    "udacity": Form(lambda of: of.positions / of.channels**3, "Σ(G − A)² / (C³·M)", r"\frac{1}{C^3 M} \sum (G - A)^2"),
    # The keras.io example, which has the image's pixels and colors where equation 4 has M and C.
    "keras": Form(
        lambda of: (of.positions / of.pixels) ** 2 / (4 * 3**2),
        "Σ(G − A)² / (4·3²·(height·width)²)",
        r"\frac{1}{4 \cdot 3^2 \, (\text{height} \cdot \text{width})^2} \sum (G - A)^2",
    ),
    "relative": Form(None, "Σ(G/M − A/M)² / Σ(A/M)²", r"\frac{\sum (G/M - A/M)^2}{\sum (A/M)^2}"),
    # With m and S the mean and the covariance of the features over positions, m' and S' those of the style image.
    "wasserstein": Form(
        None,
        "(|m − m'|² + tr(S + S' − 2 (S'^½ S S'^½)^½)) / C",
        r"\frac{1}{C} \left(|m - m'|^2 + \mathrm{tr}\left(S + S' - 2 (S'^{1/2} S S'^{1/2})^{1/2}\right)\right)",
        lambda gram, target, channels: squared_wasserstein(gram, target) / channels,
    ),
    "relative_wasserstein": Form(
        None,
        "(|m − m'|² + tr(S + S' − 2 (S'^½ S S'^½)^½)) / (|m'|² + tr S')",
        r"\frac{|m - m'|^2 + \mathrm{tr}(S + S' - 2 (S'^{1/2} S S'^{1/2})^{1/2})}{|m'|^2 + \mathrm{tr}\, S'}",
        lambda gram, target, channels: squared_wasserstein(gram, target) / target.energy(),
    ),
}
TOTAL_VARIATION_FORMS = {
    "absolute": VariationForm(
        lambda down, across, *_: tf.reduce_sum(tf.abs(down)) + tf.reduce_sum(tf.abs(across)),
        "Σ(|down| + |across|)",
        r"\sum |\text{down}| + |\text{across}|",
    ),
    "squared": VariationForm(
        lambda down, across, *_: _squares(down, across), "Σ(down² + across²)", r"\sum \text{down}^2 + \text{across}^2"
    ),
    # Its gradient is the nine-point Laplacian, so a slanted line costs about what an upright one does.
    "nine_point": VariationForm(
        lambda down, across, falling, rising: _squares(down, across) * 2 / 3 + _squares(falling, rising) / 6,
        "Σ(⅔ (down² + across²) + ⅙ (falling² + rising²))",
        r"\sum \tfrac{2}{3} (\text{down}^2 + \text{across}^2) + \tfrac{1}{6} (\text{falling}^2 + \text{rising}^2)",
    ),
    # The keras.io example; the last row and column are left out.
    "keras": VariationForm(
        lambda down, across, *_: tf.reduce_sum((tf.square(down[:, :, :-1]) + tf.square(across[:, :-1])) ** 1.25),
        "Σ(down² + across²)^1.25",
        r"\sum (\text{down}^2 + \text{across}^2)^{1.25}",
    ),
}

# The energy under which a target counts as empty: dividing by less would turn rounding errors into a loss.
SMALLEST_ENERGY = 1e-8


def gram_matrix(features: tf.Tensor, *, normalize: bool = True) -> tf.Tensor:
    """Multiply every pair of channels and add up over all positions.

    G[b, i, j] = Σ over positions k of F[b, k, i] · F[b, k, j].  It says which channels fire together, and forgets
    where.

    Args:
        features: (batch, height, width, channels), any floating-point type.
        normalize: Divide by height × width, so that images of different sizes can be compared.

    Returns:
        (batch, channels, channels), symmetric; float32, or float64 for float64 features.

    Raises:
        ValueError: If the features do not have four dimensions.

    Reference:
        Gatys, Ecker, Bethge: "Image Style Transfer Using Convolutional Neural Networks", CVPR 2016, equation 3,
        which does not normalize.
    """
    features = float32_at_least(features)
    if features.shape.rank != 4:
        raise ValueError(f"Expected features of shape (batch, height, width, channels), got {features.shape}.")
    batch, height, width, channels = tf.unstack(tf.shape(features))
    gram = _transposed_times_itself(tf.reshape(features, (batch, height * width, channels)))  # (batch, C, C)
    return gram / tf.cast(height * width, gram.dtype) if normalize else gram


def with_ones(features: tf.Tensor) -> tf.Tensor:
    """Add a channel of ones, so that the normalized Gram matrix holds the means too, in its last row and column."""
    return tf.concat([features, tf.ones_like(features[..., :1])], axis=-1)


@tf.custom_gradient
def _transposed_times_itself(flat: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Return FᵀF of (batch, M, C), with its gradient as one product where TensorFlow's own would be two."""

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return tf.matmul(flat, upstream + tf.linalg.matrix_transpose(upstream))

    return tf.matmul(flat, flat, transpose_a=True), gradient


def content_loss(features: tf.Tensor, target: tf.Tensor, *, form: str = "mean") -> tf.Tensor:
    """Say how far the features of the generated image are from those of the content image.

    Args:
        features: F, (batch, height, width, channels).
        target: P, of the same shape.
        form: How the squared differences become one number; a key of `CONTENT_FORMS`, which has the formulas.

    Returns:
        Scalar, at least 0, in float32 (float64 for float64 features).

    Raises:
        ValueError: If the shapes differ or the form is unknown.
    """
    features, target = float32_at_least(features), float32_at_least(target)
    if not features.shape.is_compatible_with(target.shape):
        raise ValueError(f"Features of shape {features.shape} cannot be compared with a target of {target.shape}.")
    return content_scale(target, form=form) * tf.reduce_sum(tf.math.squared_difference(features, target))


def content_scale(target: tf.Tensor, *, form: str, channels: int | None = None) -> tf.Tensor:
    """Return what Σ(F − P)² is multiplied by in a form of the content loss, a scalar; `channels` as in `style_loss`."""
    target = float32_at_least(target)
    factor = CONTENT_FORMS[one_of(form, CONTENT_FORMS, "form of the content loss")].factor
    entries = tf.cast(tf.size(target), target.dtype)
    if factor is None:
        return 1 / (entries * tf.maximum(tf.reduce_mean(tf.square(target)), SMALLEST_ENERGY))
    positions = entries / target.shape[-1]
    return tf.cast(factor(Size(channels or target.shape[-1], positions)), target.dtype)


def style_loss(
    gram: tf.Tensor,
    target: tf.Tensor | Gaussian,
    *,
    form: str = "mean",
    positions: tf.Tensor | int | None = None,
    image_pixels: tf.Tensor | int | None = None,
    channels: int | None = None,
) -> tf.Tensor:
    """Say how far the Gram matrix of the generated image is from that of the style image, at one layer.

    With S = Σ(G − A)², the sum of squares that the papers write, and g = G / M, a = A / M for features of one size,
    S = M² Σ(g − a)².  Taking the normalized matrices keeps the numbers in range and lets the style image have a
    size of its own.

    Args:
        gram: g, (batch, channels, channels): `gram_matrix(features)`, normalized; for the Wasserstein forms
            `gram_matrix(with_ones(features))`.
        target: a, of the same shape; for the Wasserstein forms also `gaussian_of(a)`, which takes half as long.
        form: How the squared differences become one number; a key of `STYLE_FORMS`, which has the formulas.
        positions: M, height × width of the layer; for the forms "udacity" and "keras".
        image_pixels: Height × width of the image; for the form "keras".
        channels: C where it is not the matrix's own number; see `FeatureExtractor`.

    Returns:
        Scalar, at least 0, in float32 (float64 for float64 matrices).

    Raises:
        ValueError: If the shapes differ, the form is unknown, or what the form needs is missing.
    """
    factor, _, _, distance = STYLE_FORMS[one_of(form, STYLE_FORMS, "form of the style loss")]
    gram = float32_at_least(gram)
    if not isinstance(target, Gaussian):
        target = float32_at_least(target)
        if not gram.shape.is_compatible_with(target.shape):
            raise ValueError(f"A Gram matrix of shape {gram.shape} cannot be compared with a target of {target.shape}.")
        target = gaussian_of(target) if distance else target
    if distance:
        return tf.cast(tf.reduce_sum(distance(gram, target, channels or gram.shape[-1] - 1)), gram.dtype)
    summed = tf.reduce_sum(tf.math.squared_difference(gram, target))  # Σ(g − a)²
    if factor is None:
        return summed / tf.maximum(tf.reduce_sum(tf.square(target)), SMALLEST_ENERGY)
    if (positions is None and form in ("udacity", "keras")) or (image_pixels is None and form == "keras"):
        raise ValueError(f"The {form!r} form of the style loss needs positions, and the 'keras' form image_pixels too.")
    counts = (None if count is None else tf.cast(count, gram.dtype) for count in (positions, image_pixels))
    return summed * factor(Size(channels or gram.shape[-1], *counts))


def total_variation_loss(image: tf.Tensor, *, form: str = "nine_point") -> tf.Tensor:
    """Say how rough an image is: what neighboring pixels differ by, summed over the image.

    Args:
        image: (batch, height, width, channels), any range; the loss is in that range's units.
        form: Which differences, and how they are added; a key of `TOTAL_VARIATION_FORMS`, which has the formulas.

    Returns:
        Scalar, at least 0, in float32 (float64 for float64 images).

    Raises:
        ValueError: If the form is unknown.

    Reference:
        Rudin, Osher, Fatemi: "Nonlinear total variation based noise removal algorithms", Physica D 1992; as a term
        of style transfer in Mahendran and Vedaldi: "Understanding deep image representations by inverting them",
        CVPR 2015, section 3.2.
    """
    image = float32_at_least(image)
    found = TOTAL_VARIATION_FORMS[one_of(form, TOTAL_VARIATION_FORMS, "form of the total variation")]
    return found.total(
        image[:, 1:] - image[:, :-1],  # down
        image[:, :, 1:] - image[:, :, :-1],  # across
        image[:, 1:, 1:] - image[:, :-1, :-1],  # falling
        image[:, 1:, :-1] - image[:, :-1, 1:],  # rising
    )


def float32_at_least(tensor: tf.Tensor) -> tf.Tensor:
    """Return half-precision tensors as float32, and the others as they are."""
    tensor = tf.convert_to_tensor(tensor)
    return tf.cast(tensor, tf.float32) if tensor.dtype in (tf.float16, tf.bfloat16) else tensor


def _squares(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(one)) + tf.reduce_sum(tf.square(other))
