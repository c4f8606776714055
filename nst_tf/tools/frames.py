"""Frames of a video: each is repainted starting from the result of the frame before."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf
from scipy.ndimage import uniform_filter

from nst_tf.controls.previous import Previous
from nst_tf.engine.run import check_run
from nst_tf.ground.checks import number
from nst_tf.images import load_image
from nst_tf.pictures.reading import read_pixels
from nst_tf.tools.animations import extract_frames
from nst_tf.tools.inputs import cached_inputs
from nst_tf.tools.jobs import Job, absolute, images_of, result_path
from nst_tf.tools.many import Outcome, make
from nst_tf.tools.running import check_jobs, load, recipe_of

# A frame after the first is nearly finished when it begins.
LATER_SHARE = 0.5
HOLD = 20.0
# A pixel whose color changes by so much from frame to frame, averaged over a few pixels, is held half as firmly.
CHANGE = 0.04
NEIGHBORHOOD = 5


def frame_jobs(
    frames: str | os.PathLike, styles: Sequence[str | os.PathLike], folder: str | os.PathLike, **defaults: Any
) -> list[Job]:
    """Return a job for each frame of a folder, in the order of their numbers.

    Args:
        frames: A folder of images, or a pattern such as "frames/*.png"; frame_2 comes before frame_10.  Or a film (with
            the extra `video`) or an animation, whose images are put into a folder of its name below that of the
            results.
        styles: Paths or URLs of the style images.
        folder: Where the results go, under the frames' own names, as PNGs.
        **defaults: Of the fields of `Job`.

    Raises:
        ValueError: If there is no image, the results would be among the frames, or a film cannot be read.
    """
    is_film = os.path.isfile(os.path.expanduser(frames))
    images = images_of(extract_frames(frames, folder) if is_film else frames)
    names = sorted(images, key=_in_order)
    return [absolute(Job(images[name], styles, result_path(folder, name, frames), **defaults)) for name in names]


def _in_order(name: str) -> list[tuple[int, str]]:
    """Return what sorts names by the numbers in them."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def stylize_frames(jobs: Sequence[Job], *, hold: float = HOLD, again: bool = False) -> Iterator[Outcome]:
    """Repaint the frames of a video one after the other.

    Where a frame is as the one before, it starts from the result of that one, so that strokes stay; elsewhere it starts
    anew.  Frames after the first take half as many steps.  There is no optical flow: strokes do not travel with what
    moves, and a moving camera moves everything.

    A frame that is already there, made from the same images with the same settings, is skipped, so that a second call
    goes on; the result is the same as if it had never been interrupted.

    Args:
        jobs: What `frame_jobs` returns.
        hold: Weight of a term that holds each pixel to the result before where the frame did not change, in the unit
            of the recipe's total loss.  For the studio recipe 20 calms what flickers, 100 freezes it, and 0 leaves the
            term out.
        again: Make again what is already there.

    Yields:
        An `Outcome` for each frame, in their order; the first that fails or is interrupted is the last.

    Raises:
        ValueError: If there is no frame, a job is not valid, or a frame cannot be read or has another size.
    """
    if not jobs:
        raise ValueError("There is no frame.")
    number(hold, "hold")
    first, *others = jobs
    steps = check_run(recipe_of(first), first.solver, first.steps, first.seed)
    jobs = [first, *(replace(job, steps=max(1, round(LATER_SHARE * steps))) for job in others)]
    size = None
    for _, job, problem in check_jobs(jobs):  # all of them, before the first is made
        if problem:
            raise problem
        height, width, _ = read_pixels(job.content).shape
        size = size or (width, height)
        if (width, height) != size:
            raise ValueError(
                f"{job.content!r} is {width} × {height} pixels and the frames before {size[0]} × {size[1]}; "
                "all frames must have one size."
            )
    return _one_after_the_other(jobs, hold, again)


def _one_after_the_other(jobs: Sequence[Job], hold: float, again: bool) -> Iterator[Outcome]:
    with cached_inputs():
        for index, job in enumerate(jobs):
            find_previous = functools.partial(_previous, job, jobs[index - 1], hold) if index else None
            outcome = make(index, job, again, find_previous)
            yield outcome
            if outcome.status in ("failed", "interrupted"):
                return


def _previous(job: Job, before: Job, hold: float) -> Previous:
    """Return the result of the frame before, as its file holds it, and where this frame is as that one was."""
    content_image, content_before = (load(each)[0] for each in (job, before))  # each (1, height, width, 3)
    return Previous(load_image(before.output), hold, unchanged(content_image, content_before))


def unchanged(frame: tf.Tensor, before: tf.Tensor) -> np.ndarray:
    """Return where a frame is as the one before was, float32 (height, width): 1 where nothing changed, else less.

    Differences are averaged over a few pixels, so that a camera's noise does not count as a change.
    """
    difference = np.abs(frame[0] - before[0]).max(axis=-1)  # (height, width)
    return (0.5 ** np.square(uniform_filter(difference, NEIGHBORHOOD) / CHANGE)).astype(np.float32)
