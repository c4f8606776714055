"""The images of one run: as they were given, as the network is to see them, and as the result is to look."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from nst_tf.controls.color import match_colors, match_luminance, with_luminance
from nst_tf.controls.masks import is_squashed
from nst_tf.controls.previous import Previous
from nst_tf.controls.regions import wanted_anywhere
from nst_tf.controls.styles import Style, as_styles, weighted_styles
from nst_tf.ground.checks import MIN_SIDE, as_image
from nst_tf.ground.files import fingerprint
from nst_tf.recipes import Recipe

# Less than one level of an 8-bit image.
FLAT = 1 / 512


@dataclass(frozen=True, eq=False)
class Scene:
    """What one run is made from; all images are float32 (1, height, width, 3), RGB in [0, 1]."""

    recipe: Recipe  # says in which sizes and colors the network sees the images, and where the run starts
    given_content: tf.Tensor  # the content image as it was given
    given_styles: tuple[Style, ...]  # the styles as they were given, their weights known
    content_image: tf.Tensor  # the content image as the network sees it
    styles: tuple[Style, ...]  # those styles that count, as the network sees them
    gray: bool = False  # whether the image is kept without colors while it is optimized
    start_image: tf.Tensor | None = None  # where the run starts, if not where the recipe says
    previous: Previous | None = None  # where the run starts and what it is held to, if it is a video's frame

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        content_image: Any,
        style_image: Any,
        *,
        start: Any = None,
        previous: Previous | None = None,
    ) -> Scene:
        """Check the images and controls, and bring the images into the recipe's sizes and colors."""
        content_image = tf.constant(as_image(content_image, "content image"))
        given = as_styles(style_image, content_image)
        if given[0].content_mask is not None and not recipe.loss.style_weight:
            raise ValueError("Masks need a style_weight above 0. Change one of them.")
        if start is not None:
            start, size = tf.constant(as_image(start, "start image")), content_image.shape[1:3]
            if is_squashed(start.shape[1:3], size):
                warnings.warn(
                    f"The start image is {start.shape[2]} × {start.shape[1]} pixels and the content image {size[1]} × "
                    f"{size[0]}, so it is squashed to that. Crop it to the same aspect to keep its shapes.",
                    stacklevel=3,
                )
            start = resized(start, size)
        if previous and previous.image.shape != content_image.shape:
            raise ValueError(
                f"The previous picture has the shape {previous.image.shape}, the content {content_image.shape}."
            )
        styles = tuple(prepared(style, recipe, content_image) for style in weighted_styles(given))
        # A style without colors takes the content's away, where every pixel is to have the style's.
        gray = recipe.pictures.color == "luminance"
        if recipe.pictures.color == "style" and recipe.loss.style_weight:
            gray = all(np.ptp(style.image, axis=-1).max() < FLAT for style in styles)
        if gray and previous:
            previous = replace(previous, image=_gray(previous.image))
        repainted = _gray(content_image) if gray else content_image
        return cls(recipe, content_image, given, repainted, styles, gray, start, previous)

    def images(self) -> list[tf.Tensor]:
        """Return all images that go through the network: the content image, and those of the styles."""
        return [self.content_image, *(style.image for style in self.styles)]

    def sizes(self) -> list[Scene]:
        """Return the scene at each size that the recipe goes through, from the coarsest to its own."""
        stepping, scenes, scale = self.recipe.stepping, [self], 1.0
        if stepping.coarsest is None or self.start_image is not None or self.previous:
            return scenes
        sides = self.content_image.shape[1:3]
        while True:
            scale /= stepping.growth
            if scale * max(sides) < 0.99 * stepping.coarsest or scale * min(sides) < MIN_SIDE:
                return scenes
            scenes.insert(0, self._smaller(scale))

    def _smaller(self, scale: float) -> Scene:
        """Return the same images and masks, made smaller."""
        content_image, given_content = shrunk(self.content_image, scale), shrunk(self.given_content, scale)
        styles = []
        for style in self.styles:
            image = shrunk(style.image, scale)
            content_mask = _mask_resized(style.content_mask, content_image.shape[1:3])
            style_mask = _mask_resized(style.style_mask, image.shape[1:3])
            styles.append(Style(image, style.weight, content_mask, style_mask))
        return replace(self, given_content=given_content, content_image=content_image, styles=tuple(styles))

    def start(self, seed: int) -> tf.Tensor:
        """Return x₀, where the generated image begins."""
        image = self.start_image
        if image is None:
            image = self._start(seed)
            if np.ptp(image) < FLAT and self.recipe.loss.style_weight:
                # Where nothing differs from anything, no gradient says where strokes should go.
                image = _with_noise(image, seed)
        image = _gray(image) if self.gray else image
        image = self.with_content_outside_masks(image)
        return self.previous.over(image) if self.previous else image

    def _start(self, seed: int) -> tf.Tensor:
        """Return what the recipe's word for the start stands for."""
        start, content_image, styles = self.recipe.stepping.start, self.content_image, self.styles
        if start == "style":
            return resized(styles[0].image, content_image.shape[1:3])
        if start == "noise":
            return tf.constant(_noise(content_image.shape, seed))
        if start == "content_with_noise":
            return _with_noise(content_image, seed)
        if start == "content" or self.recipe.pictures.color != "style" or not self.recipe.loss.style_weight:
            return content_image
        # Recolored: in the colors of each style in its region, or blended by the weights of the styles.
        images = [
            match_colors(content_image, style.image, mask=style.content_mask, reference_mask=style.style_mask)
            for style in styles
        ]
        masks = [style.content_mask for style in styles]
        if masks[0] is not None:
            return tf.clip_by_value(_by_region(images, masks), 0.0, 1.0)
        blend = tf.add_n([style.weight * image for style, image in zip(styles, images, strict=True)])
        return tf.clip_by_value(blend, 0.0, 1.0)

    def held(self) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Return the image that the generated one is held to and how firmly, (1, height, width, 3) and (…, 1)."""
        return self.previous.held() if self.previous else None

    def with_content_outside_masks(self, image: tf.Tensor) -> tf.Tensor:
        """Return an image with the content image where no style is wanted, which the gradient leaves alone."""
        if not self.styles or self.styles[0].content_mask is None:
            return image
        return tf.where(wanted_anywhere(self.styles), image, self.content_image)

    def postprocess(self, image: tf.Tensor) -> tf.Tensor:
        """Return a generated image with the content's colors put back, and the content where no style is wanted."""
        masks = [style.content_mask for style in self.styles]
        color, content = self.recipe.pictures.color, self.given_content
        if color == "style" and masks[0] is None:
            return tf.identity(image)
        if color == "luminance":
            image = with_luminance(content, tf.image.rgb_to_grayscale(tf.clip_by_value(image, 0.0, 1.0)))
        if color == "matching" and np.isfinite(image).all():
            # A network that sees colors only roughly lets tints come in that neither image has.
            matched = [match_colors(image, content, mask=mask, reference_mask=mask) for mask in masks]
            image = tf.clip_by_value(_by_region(matched, masks), 0.0, 1.0)
        if masks[0] is None:
            return image
        covered = np.minimum(np.sum(masks, axis=0), 1.0)[np.newaxis, :, :, np.newaxis]
        return covered * image + (1 - covered) * content

    def fingerprints(self) -> dict[str, Any]:
        """Return what tells these images from others, as JSON can hold it."""
        masks = [mask for style in self.given_styles for mask in (style.content_mask, style.style_mask)]
        before = self.previous
        return {
            "content": fingerprint(self.given_content),
            "style": fingerprint(*(style.image for style in self.given_styles)),
            "style_weights": [style.weight for style in self.given_styles],
            "masks": fingerprint(*masks),
            "start": fingerprint(self.start_image),
            "previous": before and fingerprint(before.image, before.unchanged, np.float64(before.weight)),
        }


def prepared(style: Style, recipe: Recipe, content_image: tf.Tensor) -> Style:
    """Return a style as the network is to see it, in the recipe's size and colors."""
    image, size = style.image, tuple(content_image.shape[1:3])
    style_scale, color = recipe.pictures.style_scale, recipe.pictures.color
    if recipe.pictures.style_size == "content":
        image = resized(image, size)
    elif style_scale is not None:
        scale = style_scale * max(size) / max(image.shape[1:3])
        scaled = [round(side * scale) for side in image.shape[1:3]]
        if min(scaled) < MIN_SIDE:
            raise ValueError(
                f"With style_scale={style_scale:g} the style image would be {scaled[1]} × {scaled[0]} pixels; "
                f"each side must have at least {MIN_SIDE}. Choose a larger style_scale."
            )
        image = resized(image, scaled)
    style_mask = _mask_resized(style.style_mask, image.shape[1:3])
    if color == "matching":
        image = match_colors(image, content_image, mask=style_mask, reference_mask=style.content_mask)
    elif color == "luminance":
        image = match_luminance(image, content_image)
    return replace(style, image=image, style_mask=style_mask)


def _by_region(images: Sequence[tf.Tensor], masks: Sequence[np.ndarray | None]) -> tf.Tensor:
    """Return an image that is in each region the one of that region; the first where there are no regions."""
    if masks[0] is None:
        return images[0]
    shares = np.stack(masks) / np.maximum(np.sum(masks, axis=0), 1e-6)
    return tf.add_n([share[np.newaxis, :, :, np.newaxis] * image for share, image in zip(shares, images, strict=True)])


def _noise(shape: Sequence[int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def _with_noise(image: tf.Tensor, seed: int) -> tf.Tensor:
    return tf.clip_by_value(image + (_noise(image.shape, seed) - 0.5) / 2, 0.0, 1.0)


def _mask_resized(mask: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | None:
    if mask is None or mask.shape == tuple(size):
        return mask
    return np.clip(tf.image.resize(mask[:, :, np.newaxis], size, antialias=True).numpy()[:, :, 0], 0.0, 1.0)


def resized(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Return an image in another size."""
    if tuple(image.shape[1:3]) == tuple(size):
        return image
    return tf.clip_by_value(tf.image.resize(image, size, "bicubic", antialias=True), 0.0, 1.0)


def shrunk(image: tf.Tensor, scale: float) -> tf.Tensor:
    """Return an image made smaller, with no side below the least that there may be."""
    return resized(image, [max(MIN_SIDE, round(scale * side)) for side in image.shape[1:3]])


def _gray(image: tf.Tensor) -> tf.Tensor:
    return tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image))
