"""Loading images at the sizes that a recipe's source gives them."""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf

from nst_tf.controls.masks import is_squashed
from nst_tf.images import load_image
from nst_tf.pictures.reading import read_pixels
from nst_tf.recipes import Recipe, find_recipe


def load_images(
    content: Any, style: Any, *, recipe: str | Recipe = "studio", size: int | None = None
) -> tuple[tf.Tensor, Any]:
    """Load a content and a style image at a recipe's sizes.

    Args:
        content: Anything that `load_image` takes.
        style: The same, or a list of such.
        recipe: Name of a recipe, or a `Recipe`.
        size: In pixels, of what the recipe measures of the content image; the recipe's own if not given.

    Returns:
        The content and the style image, float32 (1, height, width, 3), RGB in [0, 1]; a list of style images if a
        list was given.

    Raises:
        ValueError: As `load_image`, or if there is no such recipe.
    """
    recipe = find_recipe(recipe)
    pictures = recipe.pictures
    pixels = read_pixels(content, name="the content image", at_least=2 * (size or pictures.size))
    height, width = pixels.shape[:2]
    wanted = (size or pictures.size,) * 2
    if pictures.sizing != "square":
        scale = wanted[0] / size_of(recipe, height, width)
        if size and scale > 1 and not pictures.upscale:
            warnings.warn(
                f"The content image has {size_of(recipe, height, width)} pixels where {size} are asked for, and stays "
                "as it is; upscale=True (--set upscale=true) enlarges it.",
                stacklevel=2,
            )
        scale = scale if pictures.upscale else min(scale, 1.0)
        wanted = round(height * scale), round(width * scale)
    elif is_squashed((height, width), wanted):
        warnings.warn(
            f"The recipe {recipe.name!r} squashes the content image, {width} × {height} pixels, to a square, as its "
            'source does. To keep its aspect, change sizing to "longest side" (--set "sizing=longest side").',
            stacklevel=2,
        )
    content_image = load_image(pixels, size=wanted, name="the content image")
    if isinstance(style, (list, tuple)):
        return content_image, [_load_style(one, recipe, wanted) for one in style]
    return content_image, _load_style(style, recipe, wanted)


def size_of(recipe: Recipe, height: int, width: int) -> int:
    """Return what a recipe calls the size of an image of `height` × `width` pixels."""
    measured = {
        "longest side": max(height, width),
        "rows": height,
        "square": height,
        "shorter side": min(height, width),
    }
    return measured[recipe.pictures.sizing]


def _load_style(style: Any, recipe: Recipe, content_size: tuple[int, int]) -> tf.Tensor:
    pictures = recipe.pictures
    if pictures.style_size == "content":
        return load_image(style, size=content_size, name="the style image")
    side = max(1, round(max(content_size) * (pictures.style_scale or 1.0)))
    upscale = pictures.upscale or pictures.style_scale is not None
    return load_image(style, max_side=side, upscale=upscale, name="the style image")
