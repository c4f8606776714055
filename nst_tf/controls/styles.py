"""What an image is repainted in: one style image, a blend of several, or one for each region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from nst_tf.controls.masks import check_mask
from nst_tf.ground.checks import as_image, number


@dataclass(frozen=True, eq=False)
class Style:
    """A style image, how much it counts, and where.

    Args:
        image: float32 (1, height, width, 3), RGB in [0, 1].
        weight: Without masks, its share in the blend; the shares of all styles sum to one.  With masks, what the style
            loss of its region is multiplied by.  If not given, equal shares, or 1.
        content_mask: Which part of the content image it is for: float32 of that image's (height, width), in [0, 1].
            Either every style has one or none has; what no mask covers keeps the content.
        style_mask: Which part of its own image it is taken from; all of it if not given.

    Example:
        >>> styles = [Style(night, content_mask=sky), Style(mosaic, content_mask=ground)]
        >>> result = stylize(content_image, styles, features="slim")
    """

    image: tf.Tensor = field(repr=False)
    weight: float | None = None
    content_mask: np.ndarray | None = field(default=None, repr=False)
    style_mask: np.ndarray | None = field(default=None, repr=False)


def as_styles(style_image: Any, content_image: tf.Tensor) -> tuple[Style, ...]:
    """Return what `stylize` was given for a style as checked styles whose weights are known.

    Raises ValueError if there is no style, an image or a mask does not fit, the weights of a blend do not sum to one,
    or some styles have a content mask and some have none.
    """
    # A list of images is a blend, an array or a tensor is one image.
    given = list(style_image) if isinstance(style_image, Sequence) else [style_image]
    styles = [style if isinstance(style, Style) else Style(style) for style in given]
    if not styles:
        raise ValueError("There is no style image.")
    masked = [style.content_mask is not None for style in styles]
    if any(masked) and not all(masked):
        raise ValueError(
            f"Style {masked.index(False) + 1} of {len(styles)} has no content mask, and others have one; give every "
            "style a mask (nst_tf.rest_of(...) is what the others leave), or none."
        )
    default = 1.0 if any(masked) else 1.0 / len(styles)
    checked, dtype = [], content_image.dtype.as_numpy_dtype
    for n, style in enumerate(styles, 1):
        weight = number(default if style.weight is None else style.weight, f"weight of style {n}")
        image = tf.constant(as_image(style.image, "style image" if len(styles) == 1 else f"style image {n}", dtype))
        content_mask = check_mask(style.content_mask, content_image, f"content mask of style {n}")
        style_mask = check_mask(style.style_mask, image, f"style mask of style {n}")
        checked.append(Style(image, weight, content_mask, style_mask))
    weights = [style.weight for style in checked]
    if not any(masked) and abs(sum(weights) - 1) > 1e-6:
        raise ValueError(
            f"The weights of the styles sum to {sum(weights):g}; those of a blend sum to 1. To make the style count "
            "for more, change style_weight."
        )
    if not any(weights):
        raise ValueError("Every style has weight 0, so there is no style left; set style_weight=0 to leave style out.")
    return tuple(checked)


def weighted_styles(styles: Sequence[Style]) -> tuple[Style, ...]:
    """Return the styles that have a weight other than 0."""
    return tuple(style for style in styles if style.weight)
