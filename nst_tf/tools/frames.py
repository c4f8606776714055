"""Frames of a video: each is repainted starting from the result of the frame before."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageSequence
from scipy.ndimage import uniform_filter

from nst_tf.controls.previous import Previous
from nst_tf.ground.checks import number
from nst_tf.images import load_image, save_image
from nst_tf.pictures.reading import read_pixels
from nst_tf.tools.animations import timelapse
from nst_tf.tools.inputs import cached_inputs
from nst_tf.tools.jobs import Job, absolute, images_of
from nst_tf.tools.many import Outcome, make
from nst_tf.tools.running import check_jobs, load, recipe_of
from nst_tf.transfer import Step, check_run

# A frame after the first is nearly finished when it begins.
LATER_SHARE = 0.5
HOLD = 20.0
# A pixel whose color changes by so much from frame to frame, averaged over a few pixels, is held half as firmly.
CHANGE = 0.04
NEIGHBOURHOOD = 5


def frame_jobs(
    frames: str | os.PathLike, styles: Sequence[str | os.PathLike], folder: str | os.PathLike, **defaults: Any
) -> list[Job]:
    """Return a job for each frame of a folder, in the order of their numbers.

    Args:
        frames: A folder of images, or a pattern such as "frames/*.png"; frame_2 comes before frame_10.  Or an
            animation, whose images are put into a folder of its name below that of the results.
        styles: Paths or URLs of the style images.
        folder: Where the results go, under the frames' own names, as PNGs.
        **defaults: Of the fields of `Job`.

    Raises:
        ValueError: If there is no image.
    """
    paths = sorted(images_of(_extract_frames(frames, folder)), key=_in_order)
    return [absolute(Job(path, styles, os.path.join(folder, f"{path.stem}.png"), **defaults)) for path in paths]


def _extract_frames(frames: str | os.PathLike, folder: str | os.PathLike) -> str | os.PathLike:
    """Return a folder with the images of an animation; anything else as it is."""
    if not os.path.isfile(frames):
        return frames
    apart = Path(folder) / f"frames of {Path(frames).name}"
    for earlier in apart.glob("[0-9]" * 5 + ".png"):  # of a longer animation of that name
        earlier.unlink()
    try:
        with Image.open(frames) as animation:
            for index, frame in enumerate(ImageSequence.Iterator(animation), 1):
                pixels = read_pixels(frame.copy(), name=f"frame {index} of {os.fspath(frames)!r}")
                save_image(pixels, apart / f"{index:05}.png")
    except OSError as error:
        raise ValueError(f"{os.fspath(frames)!r} cannot be read as an animation ({error}).") from error
    return apart


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Return what sorts names by the numbers in them."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.stem)]


def stylize_frames(
    jobs: Sequence[Job],
    *,
    hold: float = HOLD,
    later_steps: int | None = None,
    again: bool = False,
    callback: Callable[[Step], None] | None = None,
) -> Iterator[Outcome]:
    """Repaint the frames of a video one after the other.

    All frames share one network.  Where a frame is as the one before, it starts from the result of that one, so that
    strokes stay; elsewhere it starts anew.  There is no optical flow: strokes do not travel with what moves, and a
    moving camera moves everything.

    A frame that is already there, made from the same images with the same settings, is skipped, so that a second call
    goes on; the result is the same as if it had never been interrupted.

    Args:
        jobs: What `frame_jobs` returns.
        hold: Weight of a term that holds each pixel to the result before where the frame did not change, in the unit
            of the recipe's total loss.  For the studio recipe 20 calms what flickers, 100 freezes it, and 0 leaves the
            term out.
        later_steps: Of each frame after the first; half as many as the first has, if not given.
        again: Make again what is already there.
        callback: As for `stylize`.

    Yields:
        An `Outcome` for each frame, in their order; the first that fails or is interrupted is the last.

    Raises:
        ValueError: If there is no frame, or a job is not valid.
    """
    if not jobs:
        raise ValueError("There is no frame.")
    number(hold, "hold")
    first, *others = jobs
    if later_steps is None:
        steps = check_run(recipe_of(first), first.solver, first.steps, first.seed)
        later_steps = max(1, round(LATER_SHARE * steps))
    jobs = [first, *(replace(job, steps=later_steps) for job in others)]
    for _, _, problem in check_jobs(jobs):
        if problem:
            raise problem
    return _one_after_the_other(jobs, hold, again, callback)


def _one_after_the_other(
    jobs: Sequence[Job], hold: float, again: bool, callback: Callable[[Step], None] | None
) -> Iterator[Outcome]:
    with cached_inputs():
        for index, job in enumerate(jobs):
            find_previous = functools.partial(_previous, job, jobs[index - 1], hold) if index else lambda: None
            outcome = make(index, job, again, find_previous, callback)
            yield outcome
            if outcome.status in ("failed", "interrupted"):
                return


def _previous(job: Job, before: Job, hold: float) -> Previous:
    """Return the result of the frame before, as its file holds it, and where this frame is as that one was."""
    content_image, content_before = (load(each)[0] for each in (job, before))  # each (1, height, width, 3)
    if content_image.shape != content_before.shape:
        raise ValueError(
            f"{job.content!r} is {content_image.shape[2]} × {content_image.shape[1]} pixels and the frame before "
            f"{content_before.shape[2]} × {content_before.shape[1]}; all frames must have one size."
        )
    return Previous(load_image(before.output), hold, unchanged(content_image, content_before))


def unchanged(frame: tf.Tensor, before: tf.Tensor) -> np.ndarray:
    """Return where a frame is as the one before was.

    Args:
        frame: float32 (1, height, width, 3), RGB in [0, 1].
        before: The same.

    Returns:
        float32 (height, width): 1 where nothing changed, towards 0 where much did.  Differences are averaged over a few
        pixels, so that a camera's noise does not count as a change.
    """
    difference = np.abs(frame[0] - before[0]).max(axis=-1)
    return (0.5 ** np.square(uniform_filter(difference, NEIGHBOURHOOD) / CHANGE)).astype(np.float32)


def animate(
    paths: Sequence[str | os.PathLike], path: str | os.PathLike, *, rate: float = 12, max_side: int = 480
) -> Path:
    """Write images as an animation that loops.

    Args:
        paths: Of the images, in order.
        path: Ends in .gif or .webp.
        rate: Frames a second.
        max_side: Longest side of the animation in pixels.

    Raises:
        ValueError: As `timelapse`, or if the rate is not positive.
    """
    if rate <= 0:
        raise ValueError(f"rate is {rate}; expected a positive number of frames a second.")
    images = [read_pixels(each, max_side=max_side) for each in paths]
    count = len(images)
    return timelapse(images, path, seconds=count / rate, hold_seconds=1 / rate, max_side=max_side, max_frames=count)
