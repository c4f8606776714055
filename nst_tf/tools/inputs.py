"""The images that a job names: checked and read before TensorFlow is there, and each once for all that need it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from nst_tf.ground.checks import LARGEST_STYLE_SCALE
from nst_tf.ground.files import file_signature
from nst_tf.pictures.reading import read_pixels
from nst_tf.tools.jobs import REST, Job, is_image

# No recipe's own size is larger.
LARGEST_BY_DEFAULT = 2048


class Inputs(NamedTuple):
    """What the images of a job show, each float32 (height, width, 3), RGB in [0, 1]."""

    content: np.ndarray
    styles: list[np.ndarray]
    masks: list[np.ndarray | None]  # None for the word "rest"
    style_masks: list[np.ndarray]
    start: np.ndarray | None  # if the job starts from an image


def read_inputs(job: Job) -> Inputs:
    """Read the images of a job; raise ValueError if one cannot be read, or there is not one mask for each style."""
    check_counts(job)
    at_least = 2 * (job.size or LARGEST_BY_DEFAULT)
    of_style = round(at_least * min(LARGEST_STYLE_SCALE, max(1.0, job.changes.get("style_scale") or 1.0)))
    return Inputs(
        _read(job.content, at_least=at_least),
        [_read(style, at_least=of_style) for style in job.styles],
        [None if mask == REST else _read(mask, ground=0.0) for mask in job.masks],
        [_read(mask, ground=0.0) for mask in job.style_masks],
        _read(job.start) if is_image(job.start) else None,
    )


def check_counts(job: Job) -> None:
    """Raise ValueError if there are weights or masks, but not one for each style."""
    given = {"style weights": job.style_weights, "masks": job.masks, "style masks": job.style_masks}
    for what, values in given.items():
        if values and len(values) != len(job.styles):
            raise ValueError(f"There are {len(values)} {what} for {len(job.styles)} style images; give one for each.")
    if job.masks.count(REST) > 1 or job.masks == [REST] or REST in job.style_masks:
        raise ValueError(f"The mask {REST!r} is what the other masks leave, so it stands once and beside others.")


def _read(path: str, *, ground: float = 1.0, at_least: int | None = None) -> np.ndarray:
    return _read_version(file_signature(path), path, ground, at_least)


@functools.lru_cache(maxsize=16)
def _read_version(signature: str, path: str, ground: float, at_least: int | None) -> np.ndarray:
    return read_pixels(path, ground=ground, at_least=at_least)


@functools.cache
def resolve_features(features: str) -> str:
    """Return the network that "auto" stands for; on a GPU, asking takes the hash of a file of weights."""
    from nst_tf.engine.extractors import resolve_auto

    return resolve_auto(features)


@contextlib.contextmanager
def cached_inputs() -> Iterator[None]:
    """Read each image once inside the block, and decide what "auto" stands for once.

    A worker process, which knows no end of a list, keeps both as long as it lives.
    """
    try:
        yield
    finally:
        _read_version.cache_clear()
        resolve_features.cache_clear()
