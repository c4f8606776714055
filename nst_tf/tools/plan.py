"""What a list of jobs asks for, found out before the first hour is spent on it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from nst_tf.tools.jobs import Job, is_address
from nst_tf.tools.many import short_hash

MOST_PROBLEMS = 20
MORE_STEPS = 10


@dataclass
class Plan:
    """What a list of jobs asks for.

    Args:
        jobs: How many there are.
        existing: How many of their outputs exist already, whatever they show.
        problems: What would make a job fail, at most twenty of them in words.
        bad: How many jobs would fail.
        work: Sum of pixels × steps; `pixels` the sum of pixels, both as if all pictures had the first one's aspect.
        first: The first job without a problem.
    """

    jobs: int = 0
    existing: int = 0
    bad: int = 0
    work: float = 0.0
    pixels: float = 0.0
    problems: list[str] = field(default_factory=list)
    first: Job | None = None


def plan(jobs: Iterable[Job]) -> Plan:
    """Go through jobs without making one: do their inputs exist and open as pictures, are their outputs distinct?

    Args:
        jobs: Read one by one; what is remembered of each is a hash, so that a file of a million lines is fine.

    Raises:
        ValueError: If the list itself cannot be read, or one job would replace a picture that another is made from.
    """
    from nst_tf.tools.running import check_job, recipe_of
    from nst_tf.transfer import check_run

    found = Plan()
    outputs: set[bytes] = set()
    sources: dict[bytes, str] = {}
    folders: set[str] = set()
    for number, job in enumerate(jobs, 1):
        found.jobs += 1
        _check_no_overwrite(number, job, outputs, sources)
        try:
            check_job(job)
            for problem in _problems(job, outputs, sources, folders):
                raise ValueError(problem)
            recipe = recipe_of(job)
        except ValueError as error:
            found.bad += 1
            if len(found.problems) < MOST_PROBLEMS:
                found.problems.append(f"job {number}: {error}")
            continue
        found.existing += os.path.exists(job.output)
        found.first = found.first or job
        pixels = _pixels(job)
        found.pixels += pixels
        found.work += pixels * check_run(recipe, job.solver, job.steps, job.seed)
    return found


def _check_no_overwrite(number: int, job: Job, outputs: set[bytes], sources: dict[bytes, str]) -> None:
    """Raise ValueError if a job's output is an earlier one's input, or the reverse."""
    shared = [path for path in (job.content, *job.styles) if short_hash(path) in outputs]
    shared += [job.output] if short_hash(job.output) in sources else []
    if shared:
        raise ValueError(
            f"Job {number}: {shared[0]!r} is one job's output and a picture that another is made from, which would be "
            "lost. Choose another output; if one is to be made from the other, put them into two lists."
        )


def _problems(job: Job, outputs: set[bytes], sources: dict[bytes, str], folders: set[str]) -> Iterator[str]:
    from nst_tf.ground.files import check_writable

    name = short_hash(job.output)
    if name in outputs:
        yield f"its output {job.output!r} is another job's too"
    outputs.add(name)
    folder = os.path.dirname(job.output)
    if folder not in folders:
        try:
            check_writable(job.output)
        except (ValueError, OSError) as error:
            yield str(error)
        folders.add(folder)
    for source in (job.content, *job.styles):
        name = short_hash(source)
        if name not in sources:
            sources[name] = "" if is_address(source) else _unreadable(source)
        if sources[name]:
            yield sources[name]


def _unreadable(path: str) -> str:
    """Return why a file is no picture, "" if it seems to be one; only its beginning is read."""
    from PIL import Image

    try:
        with Image.open(path):
            return ""
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"{path!r} cannot be read as a picture ({error})"


class Estimate(NamedTuple):
    """What jobs take here, on all cores.

    Args:
        fixed: Seconds of one picture, whatever its steps are: preparing, saving.
        per_step: Seconds of one step.
        seconds: Of all jobs.
        size: Of all PNGs, in bytes.
    """

    fixed: float
    per_step: float
    seconds: float
    size: float


def estimate(found: Plan) -> Estimate:
    """Make a few steps of a plan's first job, and say what all jobs take.

    The part of the steps grows with pixels × steps, the rest with the number of jobs.

    Raises:
        ValueError: As `stylize`.
    """
    from nst_tf.tools.running import run

    least, job = 2, found.first
    run(replace(job, steps=least))  # traces, which later pictures of the size need not
    seconds = []
    for steps in (least, least + MORE_STEPS):
        begun = time.perf_counter()
        result = run(replace(job, steps=steps))
        if result.status == "interrupted":
            raise KeyboardInterrupt
        with tempfile.TemporaryDirectory() as folder:
            size = result.save(os.path.join(folder, "trial.png")).stat().st_size
        seconds.append(time.perf_counter() - begun)
    per_step = max((seconds[1] - seconds[0]) / MORE_STEPS, 1e-6)
    fixed, pixels = max(seconds[0] - least * per_step, 0.0), _pixels(job)
    whole = (found.jobs - found.bad) * fixed + found.work / pixels * per_step
    return Estimate(fixed, per_step, whole, found.pixels / pixels * size)


def _pixels(job: Job) -> int:
    from nst_tf.tools.running import recipe_of

    return (job.size or recipe_of(job).pictures.size) ** 2
