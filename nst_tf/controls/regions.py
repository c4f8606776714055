"""Where masks meet the style loss: the regions of an image that each have a style of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from nst_tf.controls.styles import Style
from nst_tf.losses import float32_at_least

# A region that covers less than this of a layer covers nothing of it.
SMALLEST_COVER = 1e-6


class Regions(NamedTuple):
    """Where each style is wanted, by style layer."""

    masks: dict[str, tf.Tensor]  # m, how much of each position lies in each region, (1, height, width, regions)
    # Of each region Σm, how many positions it covers, and what its loss is multiplied by: its style's weight times its
    # share of the positions that are in any, so that large regions and small ones keep their balance.
    parts: dict[str, list[tuple[tf.Tensor, tf.Tensor]]]
    # 1 where any style is wanted and 0 elsewhere, (1, height, width, 1) of the image.  Elsewhere the gradient is taken
    # for 0: what moves there is thrown away at the end, and until then only costs content.
    pixels: tf.Tensor


def regions_of(styles: Sequence[Style], sizes: Mapping[str, tuple[int, int]]) -> Regions:
    """Return where styles that have masks are wanted, from (height, width) of the content's features by style layer."""
    masks = {
        layer: tf.concat([mask_at(style.content_mask, size) for style in styles], axis=-1)
        for layer, size in sizes.items()
    }
    weights, parts = tf.constant([style.weight for style in styles], tf.float32), {}
    for layer, mask in masks.items():
        covered = tf.reduce_sum(mask, axis=(0, 1, 2))
        shares = weights * covered / tf.maximum(tf.reduce_sum(covered), SMALLEST_COVER)
        covered = tf.maximum(covered, SMALLEST_COVER)
        parts[layer] = list(zip(tf.unstack(covered), tf.unstack(shares), strict=True))
    return Regions(masks, parts, tf.constant(wanted_anywhere(styles), tf.float32))


def wanted_anywhere(styles: Sequence[Style]) -> np.ndarray:
    """Return which pixels any of the styles, which have masks, is wanted at; bool (1, height, width, 1)."""
    return (np.sum([style.content_mask for style in styles], axis=0) > 0)[np.newaxis, :, :, np.newaxis]


def in_regions(features: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return features whose Gram matrix counts each position as much as it lies in a region.

    That is √m · F for each region, (regions, height, width, channels), of F, (1, height, width, channels), and masks m,
    (1, height, width, regions), in [0, 1].

    Reference:
        Gatys et al.: "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017, on spatial control; there m
        is squared, here a position that lies half in a region counts half.
    """
    return float32_at_least(features) * tf.sqrt(tf.transpose(masks, (3, 1, 2, 0)))


def mask_at(mask: np.ndarray, size: tuple[int, int]) -> tf.Tensor:
    """Return how much of each position of a layer a mask covers, float32 (1, height, width, 1)."""
    return tf.image.resize(np.asarray(mask, np.float32)[np.newaxis, :, :, np.newaxis], size, "area")


def style_masks(style: Style, sizes: Mapping[str, tuple[int, int]]) -> dict[str, tf.Tensor]:
    """Return a style's mask at each style layer, whose (height, width) are given; none if all of it is wanted."""
    return {} if style.style_mask is None else {layer: mask_at(style.style_mask, sizes[layer]) for layer in sizes}
