"""What a picture is repainted in: one style picture, a blend of several, or one for each region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from nst_tf.controls.regions import check_mask
from nst_tf.features import FeatureExtractor
from nst_tf.losses import STYLE_FORMS
from nst_tf.pictures.contract import as_image
from nst_tf.pictures.files import fingerprint
from nst_tf.recipes import Recipe

# Whose Gram matrices an extractor remembers; those of VGG19's five layers take two megabytes a style.
MOST_STYLES = 16


@dataclass(frozen=True, eq=False)
class Style:
    """A style picture, how much it counts, and where.

    Args:
        image: float32 (1, height, width, 3), RGB in [0, 1].
        weight: Without masks, its share in the blend; the shares of all styles sum to one.  With masks, what the style
            loss of its region is multiplied by.  If not given, equal shares, or 1.
        content_mask: Which part of the content image it is for: float32 of that picture's (height, width), in [0, 1].
            Either every style has one or none has; what no mask covers keeps the content.
        style_mask: Which part of its own picture it is taken from; all of it if not given.

    Example:
        >>> styles = [Style(night, content_mask=sky), Style(mosaic, content_mask=ground)]
        >>> result = stylize(content_image, styles, features="slim")
    """

    image: tf.Tensor = field(repr=False)
    weight: float | None = None
    content_mask: np.ndarray | None = field(default=None, repr=False)
    style_mask: np.ndarray | None = field(default=None, repr=False)


def remembered_grams(
    extractor: FeatureExtractor,
    style: Style,
    recipe: Recipe,
    grams_of: Callable[[Style], dict[str, tf.Tensor]],
) -> dict[str, tf.Tensor]:
    """Return the Gram matrices of a style by layer, those computed earlier where many runs share the extractor."""
    if extractor.style_grams is None:
        return grams_of(style)
    mask = () if style.style_mask is None else (style.style_mask,)
    form = STYLE_FORMS[recipe.loss.style_form]
    key = (fingerprint(style.image.numpy(), *mask), tuple(recipe.network.style_layers), form.distance is None)
    grams = extractor.style_grams.pop(key, None) or grams_of(style)
    while len(extractor.style_grams) >= MOST_STYLES:
        extractor.style_grams.pop(next(iter(extractor.style_grams)), None)
    extractor.style_grams[key] = grams
    return grams


def as_styles(style_image: Any, content_image: tf.Tensor) -> tuple[Style, ...]:
    """Return what `stylize` was given for a style as styles whose weights are known.

    Args:
        style_image: A picture, a `Style`, or a sequence of these.
        content_image: The picture that content masks are for.

    Raises:
        ValueError: If there is no style, a mask does not fit, the weights of a blend do not sum to one, or some styles
            have a content mask and some have none.
    """
    styles = _listed_styles(style_image)
    masked = [style.content_mask is not None for style in styles]
    if any(masked) and not all(masked):
        raise ValueError(
            f"Style {masked.index(False) + 1} of {len(styles)} has no content mask, and others have one; give every "
            "style a mask (nst_tf.rest_of(...) is what the others leave), or none."
        )
    default = 1.0 if any(masked) else 1.0 / len(styles)
    weights = [default if style.weight is None else float(style.weight) for style in styles]
    if not all(0 <= weight < float("inf") for weight in weights):
        raise ValueError(f"The weights of the styles are {_listed(weights)}; each must be a number of at least 0.")
    if not any(masked) and abs(sum(weights) - 1) > 1e-6:
        raise ValueError(
            f"The weights of the styles are {_listed(weights)}, which sum to {sum(weights):g}; those of a blend sum to "
            "1. To make the style count for more, change style_weight."
        )
    checked = []
    for number, (style, weight) in enumerate(zip(styles, weights, strict=True), 1):
        masks = {
            "content_mask": _checked(style.content_mask, content_image, f"content mask of style {number}"),
            "style_mask": _checked(style.style_mask, style.image, f"style mask of style {number}"),
        }
        checked.append(replace(style, image=tf.convert_to_tensor(style.image), weight=weight, **masks))
    if not any(style.weight for style in checked):
        raise ValueError("Every style has weight 0, so there is no style left; set style_weight=0 to leave style out.")
    return tuple(checked)


def checked_styles(style_image: Any) -> list[Style]:
    """Return what `stylize` was given for a style as styles whose pictures are as the pixel contract has them.

    Raises:
        ValueError: If one of them cannot be.
    """
    styles = _listed_styles(style_image)
    name = "style image" if len(styles) == 1 else "style image {}"
    images = [as_image(style.image, name.format(number)) for number, style in enumerate(styles, 1)]
    return [replace(style, image=tf.constant(image)) for style, image in zip(styles, images, strict=True)]


def _listed_styles(style_image: Any) -> list[Style]:
    # A list of pictures is a blend, an array or a tensor is one picture.
    given = list(style_image) if isinstance(style_image, Sequence) else [style_image]
    if not given:
        raise ValueError("There is no style image.")
    return [style if isinstance(style, Style) else Style(style) for style in given]


def weighted_styles(styles: Sequence[Style]) -> tuple[Style, ...]:
    """Return the styles that have a weight other than 0."""
    return tuple(style for style in styles if style.weight)


def _checked(mask: Any, image: tf.Tensor, name: str) -> np.ndarray | None:
    return None if mask is None else check_mask(mask, image, name)


def _listed(weights: list[float]) -> str:
    return ", ".join(f"{weight:g}" for weight in weights)
