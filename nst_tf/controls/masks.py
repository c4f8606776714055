"""Masks: which part of an image a style is for, or is taken from."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
import tensorflow as tf

from nst_tf.ground.checks import number
from nst_tf.pictures.reading import read_pixels

# A mask may be stretched by so much to its image's aspect: sizes are whole pixels.
LARGEST_STRETCH = 1.03
# Less than this is no region that a network could see: one position of VGG's fifth block.
SMALLEST_AREA = 16 * 16
# What proposed regions are told apart by: colors, and so much of the place, each in [0, 1].
WEIGHT_OF_PLACE = 0.7
# Regions are proposed on an image of this longest side, which loses no region and takes a second at any size.
PROPOSAL_SIDE = 160
MOST_REGIONS = 100


def load_mask(source: Any, *, size: tuple[int, int], softness: float = 0.0, name: str | None = None) -> np.ndarray:
    """Load a mask: white where the region is, black elsewhere, gray on soft edges.

    Args:
        source: Anything that `nst_tf.load_image` takes; colors count by their brightness, and what is transparent is
            not in the region.
        size: (height, width) of the image it is for, whose aspect it must have.
        softness: How many pixels its edge is blurred by.
        name: What to call the mask in messages, where it has no file name.

    Returns:
        float32 (height, width) in [0, 1].

    Raises:
        ValueError: As `load_image`, or if the mask has another aspect than the image.
    """
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else name
    name = f"mask {name!r}" if name else "mask"
    pixels = read_pixels(source, name=f"the {name}", ground=0.0)
    height, width = pixels.shape[:2]
    if is_squashed((height, width), size):
        raise ValueError(
            f"The {name} is {width} × {height} pixels and its picture {size[1]} × {size[0]}; they must have one "
            "aspect. Make the mask from the picture itself, and crop both alike."
        )
    mask = read_pixels(pixels, size=size) @ np.array([0.299, 0.587, 0.114], np.float32)
    if mask.min() > 0.99:
        warnings.warn(f"The {name} is white everywhere, so it leaves nothing out.", stacklevel=2)
    return soften(mask, softness)


def is_squashed(given: Sequence[int], size: Sequence[int]) -> bool:
    """Return whether an image loses its aspect when it is brought from one (height, width) to another."""
    return not 1 / LARGEST_STRETCH < (given[1] / given[0]) / (size[1] / size[0]) < LARGEST_STRETCH


def soften(mask: np.ndarray, softness: float) -> np.ndarray:
    """Blur the edge of a mask, (height, width) in [0, 1], by a Gaussian of a standard deviation in pixels."""
    if number(softness, "softness"):
        # A blur as wide as the picture leaves it gray, and a wider one would only take longer.
        softness = min(softness, max(mask.shape))
        mask = scipy.ndimage.gaussian_filter(np.asarray(mask, np.float32), softness, mode="nearest")
    return np.clip(mask, 0.0, 1.0).astype(np.float32)


def rest_of(*masks: np.ndarray) -> np.ndarray:
    """Return the mask of what the masks given leave uncovered, float32 (height, width) in [0, 1]."""
    return np.clip(1.0 - np.sum(masks, axis=0), 0.0, 1.0).astype(np.float32)


def propose_regions(image: tf.Tensor, count: int = 3, *, softness: float = 2.0, seed: int = 0) -> np.ndarray:
    """Divide an image into regions of similar color that lie together, by k-means.

    Args:
        image: float32 (1, height, width, 3), RGB in [0, 1].
        count: How many.
        softness: How many pixels the edges between them are blurred by.
        seed: Of where k-means starts.

    Returns:
        Masks that sum to one at every pixel, float32 (count, height, width), from the topmost region to the lowest.

    Raises:
        ValueError: If there are not so many regions to be found, or fewer than 2 or more than 100 are asked for.
    """
    if not 2 <= count <= MOST_REGIONS:
        raise ValueError(f"Asked for {count} regions; expected 2 to {MOST_REGIONS}.")
    height, width = image.shape[1:3]
    scale = min(1.0, PROPOSAL_SIDE / max(height, width))
    small = tf.image.resize(image, (max(1, round(height * scale)), max(1, round(width * scale))), antialias=True)
    pixels = small.numpy()[0]
    rows, columns = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]] / max(pixels.shape[:2])
    smooth = scipy.ndimage.gaussian_filter(pixels, (2, 2, 0), mode="nearest")
    points = np.concatenate([smooth, WEIGHT_OF_PLACE * np.stack([rows, columns], -1)], -1).reshape(-1, 5)
    _, labels = scipy.cluster.vq.kmeans2(points.astype(np.float64), count, iter=30, minit="++", seed=seed)
    labels = labels.reshape(rows.shape)
    found = sorted(set(labels.ravel()), key=lambda label: rows[labels == label].mean())
    if len(found) < count:
        raise ValueError(f"Only {len(found)} regions can be told apart in this picture; ask for fewer than {count}.")
    shares = np.stack(
        [scipy.ndimage.gaussian_filter((labels == label).astype(np.float32), 1.0) for label in found], axis=-1
    )
    full = tf.image.resize(shares[np.newaxis], (height, width), "bilinear").numpy()[0].argmax(axis=-1)
    masks = np.stack([soften(full == index, softness) for index in range(count)])
    return masks / masks.sum(axis=0)


def check_mask(mask: Any, image: tf.Tensor, name: str) -> np.ndarray | None:
    """Return a mask of an image's size as float32 (height, width) in [0, 1], None as it is; reject all others."""
    if mask is None:
        return None
    mask = np.asarray(mask)
    if mask.dtype == bool:
        mask = mask.astype(np.float32)
    height, width = image.shape[1:3]
    if mask.shape != (height, width):
        raise ValueError(
            f"The {name} has the shape {mask.shape}, and its picture {height} × {width} pixels; load it with "
            f"load_mask(..., size=({height}, {width}))."
        )
    if not (np.issubdtype(mask.dtype, np.floating) and np.isfinite(mask).all() and 0 <= mask.min() <= mask.max() <= 1):
        raise ValueError(f"The {name} must hold numbers in [0, 1], or booleans; load_mask returns such a mask.")
    if mask.sum() < SMALLEST_AREA:
        raise ValueError(
            f"The {name} covers {mask.sum():.0f} pixels, too few to carry a style; it needs {SMALLEST_AREA}. White is "
            "where the region is: is the mask inverted, or of another picture?"
        )
    return mask.astype(np.float32)
