"""What a list of jobs asks for, found out before the first hour is spent on it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from nst_tf.engine.run import check_run
from nst_tf.ground.files import OverwriteError
from nst_tf.tools.jobs import Job
from nst_tf.tools.running import check_jobs, recipe_of, run

MOST_PROBLEMS = 20
FEW_STEPS, MORE_STEPS = 2, 10


@dataclass
class Plan:
    """What a list of jobs asks for."""

    jobs: int = 0
    existing: int = 0  # jobs whose output is already there, whatever it shows
    bad: int = 0  # jobs that would fail
    problems: list[str] = field(default_factory=list)  # in words, the first twenty of them
    first: Job | None = None  # that has no problem
    pixels: float = 0.0  # of all images, as if they had the first one's aspect
    work: float = 0.0  # the sum of pixels × steps, the same


def plan(jobs: Iterable[Job]) -> Plan:
    """Go through jobs without making one; see `check_jobs`.

    Raises:
        ValueError: If the list itself cannot be read, or one job would replace an image that it or another is made
            from.
    """
    found = Plan()
    for number, job, problem in check_jobs(jobs):
        found.jobs += 1
        if isinstance(problem, OverwriteError):
            raise ValueError(f"Job {number + 1}: {problem} To make one image from the other, use two lists.")
        if problem:
            found.bad += 1
            if len(found.problems) < MOST_PROBLEMS:
                found.problems.append(f"job {number + 1}: {problem}")
            continue
        found.existing += os.path.exists(job.output)
        found.first = found.first or job
        found.pixels += _pixels(job)
        found.work += _pixels(job) * check_run(recipe_of(job), job.solver, job.steps, job.seed)
    return found


class Estimate(NamedTuple):
    """What jobs take here, on all cores."""

    fixed: float  # seconds of one image, whatever its steps are: preparing, saving
    per_step: float  # seconds
    seconds: float  # of all jobs
    size: float  # of all PNGs, in bytes


def estimate(found: Plan) -> Estimate:
    """Make a few steps of a plan's first job, and say what all jobs take; raises as `stylize`.

    The part of the steps grows with pixels × steps, the rest with the number of jobs.
    """
    pixels = _pixels(found.first)
    _time(found.first, FEW_STEPS)  # traces, which later images of the size need not
    few, _ = _time(found.first, FEW_STEPS)
    many, size = _time(found.first, FEW_STEPS + MORE_STEPS)
    per_step = max((many - few) / MORE_STEPS, 1e-6)
    fixed = max(few - FEW_STEPS * per_step, 0.0)
    seconds = (found.jobs - found.bad) * fixed + found.work / pixels * per_step
    return Estimate(fixed, per_step, seconds, found.pixels / pixels * size)


def _time(job: Job, steps: int) -> tuple[float, int]:
    """Return how many seconds the image of a job takes with so many steps, and how many bytes."""
    begun = time.perf_counter()
    result = run(replace(job, steps=steps))
    if result.status == "interrupted":
        raise KeyboardInterrupt
    with tempfile.TemporaryDirectory() as folder:
        size = result.save(os.path.join(folder, "trial.png")).stat().st_size
    return time.perf_counter() - begun, size


def _pixels(job: Job) -> int:
    return (job.size or recipe_of(job).pictures.size) ** 2
