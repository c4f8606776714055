"""Many pictures: jobs one after the other or on an executor's workers, where a failure costs one picture."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from typing import TYPE_CHECKING

from nst_tf.tools.jobs import Job

if TYPE_CHECKING:
    from nst_tf.tools.cluster import RayWorkers
    from nst_tf.tools.warm import Warm

# How many jobs wait at an executor's door for each of its workers, so that a long list is not all in memory.
AHEAD = 2


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Args:
        number: Of the job, counted from 0 in the order in which jobs were given.
        job: The job.
        status: "made", "there" (its output was found, made of the same pictures with the same settings), "failed" or
            "interrupted".
        reason: Why it failed.
        seconds: That it took.
    """

    number: int
    job: Job
    status: str
    reason: str = ""
    seconds: float = 0.0


def stylize_many(
    jobs: Iterable[Job],
    *,
    executor: Executor | RayWorkers | None = None,
    ahead: int | None = None,
    again: bool = False,
) -> Iterator[Outcome]:
    """Make many pictures, and tell of each as it is finished.

    Each job's PNG is written whole or not at all.  A job that fails is told of with its reason, and the others go on.
    Outputs that are there already, made of the same pictures with the same settings, are not made again: a second call
    after an interruption goes on.

    Args:
        jobs: What to make; read as they are needed, so a generator of a million is fine.  Each needs an `output`.
        executor: Where to make them: `worker_processes(2)`, any `concurrent.futures.Executor`, or `ray_workers(…)`;
            here, one after the other, if not given.  Networks and what was traced for them are kept from job to job.
        ahead: How many jobs an executor is given before it has finished one; by default two for each CPU.
        again: Make also what is there.

    Yields:
        An `Outcome` for each job, in the order in which they are finished.

    Raises:
        ValueError: If the executor forks its processes, which TensorFlow does not survive.

    Example:
        >>> jobs = [Job(content="a.jpg", styles=["s.jpg"], output="a.png"), Job("b.jpg", ["s.jpg"], "b.png")]
        >>> for outcome in stylize_many(jobs):
        ...     print(outcome.job.output, outcome.status)
    """
    numbered = enumerate(jobs)
    if executor is None:
        return _here(numbered, again)
    if not isinstance(executor, Executor):
        return executor.outcomes(numbered, again)
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "This executor forks its processes, which TensorFlow does not survive. Use worker_processes(count), or "
            "ProcessPoolExecutor(count, mp_context=multiprocessing.get_context('spawn'))."
        )
    return _on_executor(numbered, executor, ahead or AHEAD * (os.cpu_count() or 1), again)


def worker_processes(count: int) -> ProcessPoolExecutor:
    """Return an executor of worker processes that share the CPU's cores among them.

    Args:
        count: How many.

    Raises:
        ValueError: If it is less than 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}; expected at least 1 worker.")
    threads = max(1, (os.cpu_count() or 1) // count)
    # Spawned, never forked: a forked TensorFlow hangs.
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=start_worker, initargs=(threads,))


def start_worker(threads: int) -> None:
    """Start a worker process: give TensorFlow its share of the cores and of a GPU's memory, before it is imported."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that gives out the jobs ends the workers
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # the first worker on a GPU would take all of its memory
    from nst_tf.engine.quiet import start_tensorflow

    start_tensorflow()


def _here(numbered: Iterator[tuple[int, Job]], again: bool) -> Iterator[Outcome]:
    warm = _new_warmth()
    for number, job in numbered:
        outcome = make(number, job, warm, again)
        yield outcome
        if outcome.status == "interrupted":
            return


def _on_executor(numbered: Iterator[tuple[int, Job]], executor: Executor, ahead: int, again: bool) -> Iterator[Outcome]:
    waiting: dict[Future, tuple[int, Job]] = {}
    try:
        while True:
            for number, job in islice(numbered, ahead - len(waiting)):
                try:
                    waiting[executor.submit(make_in_worker, number, job, again)] = (number, job)
                except RuntimeError as error:  # a pool that lost a worker takes no more
                    yield Outcome(number, job, "failed", in_words(error))
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                number, job = waiting.pop(future)
                error = future.exception()
                yield Outcome(number, job, "failed", in_words(error)) if error else future.result()
    finally:
        for future in waiting:
            future.cancel()


_KEPT: list[Warm] = []


def make_in_worker(number: int, job: Job, again: bool) -> Outcome:
    """Make a job's picture in a worker, which keeps what is warm."""
    if not _KEPT:
        _KEPT.append(_new_warmth())
    return make(number, job, _KEPT[0], again)


def _new_warmth() -> Warm:
    from nst_tf.tools.warm import Warm

    # One network: an offline one is learned anew for each pair, and what was traced for it stays good.
    return Warm(most_networks=1)


def make(number: int, job: Job, warm: Warm, again: bool = False) -> Outcome:
    """Make the picture of one job and save it, unless it is there; never raise.

    Args:
        number: Passed on to the outcome.
        job: What to make.
        warm: What earlier jobs left; added to.
        again: Make it even if it is there.
    """
    from nst_tf.tools.warm import check_job, check_output, is_made, run

    begun = time.monotonic()
    try:
        check_job(job)
        check_output(job)
        if not again and is_made(job, warm):
            return Outcome(number, job, "there", seconds=time.monotonic() - begun)
        result = run(job, warm)
        if result.status == "interrupted":
            return Outcome(number, job, "interrupted", "interrupted", time.monotonic() - begun)
        result.save(job.output)
    except KeyboardInterrupt:
        return Outcome(number, job, "interrupted", "interrupted", time.monotonic() - begun)
    except Exception as error:  # whatever is wrong with one job, the others go on
        return Outcome(number, job, "failed", in_words(error), time.monotonic() - begun)
    return Outcome(number, job, "made", seconds=time.monotonic() - begun)


def in_words(error: BaseException) -> str:
    """Return the first line of an error, with its kind unless it was raised to be read."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = lines[0][:500] if lines else type(error).__name__
    return words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"
