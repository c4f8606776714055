"""Many images: jobs one after the other or on an executor's workers, where a failure costs one image."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nst_tf.ground.startup import start_tensorflow
from nst_tf.tools.jobs import Job

if TYPE_CHECKING:
    from nst_tf.controls.previous import Previous

# How many jobs wait for each of an executor's workers, so that a long list is not all in memory.
AHEAD = 2
# How often a job is made again after the worker that had it died; one that kills every worker has to end.
RETRIES = 2
DIVERGED = "its loss was not a number; try a smaller style_weight"


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Args:
        number: Of the job, counted from 0 in the order in which jobs were given.
        job: The job.
        status: "made", "skipped" (its output is already there, made from the same images with the same settings),
            "failed" or "interrupted".
        reason: Why it failed.
        seconds: That it took.
    """

    number: int
    job: Job
    status: str
    reason: str = ""
    seconds: float = 0.0


def stylize_many(jobs: Iterable[Job], *, executor: Executor | None = None, again: bool = False) -> Iterator[Outcome]:
    """Make many images, and report each as it is finished.

    Each job's PNG is written whole or not at all.  A job that fails is reported with its reason, and the others go on.
    One whose worker died is made again, at most twice.
    Outputs that are already there, made from the same images with the same settings, are skipped: a second call after
    an interruption goes on.

    Args:
        jobs: What to make; read as they are needed, so a generator of a million is fine.  Each needs an `output`.
        executor: Where to make them: `worker_processes(2)`, `cluster_workers(…)`, or any
            `concurrent.futures.Executor`; in this process, in order, if not given.  Networks and what was traced for
            them are kept from job to job.
        again: Make again what is already there.

    Yields:
        An `Outcome` for each job, in the order in which they are finished.

    Raises:
        ValueError: If the executor forks its processes, which TensorFlow does not survive, or gives up its jobs.  What
            `jobs` itself raises comes after the outcomes of all jobs before.

    Example:
        >>> jobs = [Job(content="a.jpg", styles=["s.jpg"], output="a.png"), Job("b.jpg", ["s.jpg"], "b.png")]
        >>> for outcome in stylize_many(jobs):
        ...     print(outcome.job.output, outcome.status)
    """
    if executor is None:
        return _in_this_process(jobs, again)
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError("This executor forks, which TensorFlow does not survive. Use worker_processes(count).")
    ahead = getattr(executor, "ahead", AHEAD * (os.cpu_count() or 1))
    return _on_executor(jobs, executor, ahead, again)


def _in_this_process(jobs: Iterable[Job], again: bool) -> Iterator[Outcome]:
    from nst_tf.tools.inputs import cached_inputs
    from nst_tf.tools.running import check_jobs

    with cached_inputs():
        for number, job, problem in check_jobs(jobs):
            outcome = Outcome(number, job, "failed", str(problem)) if problem else make(number, job, again)
            yield outcome
            if outcome.status == "interrupted":
                return


def _on_executor(jobs: Iterable[Job], executor: Executor, ahead: int, again: bool) -> Iterator[Outcome]:
    from nst_tf.tools.running import check_jobs

    checked = check_jobs(jobs)
    waiting: dict[Future, tuple[int, Job]] = {}
    lost: deque[tuple[int, Job, None]] = deque()  # by workers that died
    deaths: Counter[int] = Counter()
    broken_off: Exception | None = None
    try:
        while True:
            while len(waiting) < ahead:
                try:
                    number, job, problem = lost.popleft() if lost else next(checked)
                except StopIteration:
                    break
                except Exception as error:  # raised again when what is under way has been reported
                    broken_off = error
                    break
                if problem:
                    yield Outcome(number, job, "failed", str(problem))
                    continue
                try:
                    waiting[executor.submit(make, number, job, again)] = number, job
                except RuntimeError as error:  # a pool that lost a worker, or was shut down, takes no more
                    yield Outcome(number, job, "failed", one_line(error))
            if not waiting:
                break
            done = wait(waiting, return_when=FIRST_COMPLETED).done
            for future in sorted(done, key=lambda future: waiting[future][0]):
                number, job = waiting.pop(future)
                if future.cancelled():
                    raise ValueError("The workers gave up their jobs; has the cluster's scheduler been stopped?")
                error = future.exception()
                if isinstance(error, BrokenExecutor) and deaths[number] < RETRIES:
                    deaths[number] += 1
                    lost.append((number, job, None))
                else:
                    yield Outcome(number, job, "failed", one_line(error)) if error else future.result()
    finally:
        for future in waiting:
            future.cancel()
    if broken_off:
        raise broken_off


def make(number: int, job: Job, again: bool = False, find_previous: Callable[[], Previous] | None = None) -> Outcome:
    """Make and save the image of a job that was checked, unless it is already there; never raise."""
    from nst_tf.ground.keras_defaults import check_process
    from nst_tf.tools.running import is_made, run

    begun, status, reason = time.monotonic(), "failed", ""
    try:
        check_process()
        previous = find_previous() if find_previous else None
        if not again and is_made(job, previous):
            status = "skipped"
        else:
            result = run(job, previous=previous)
            if result.status == "done":
                result.save(job.output)
            status = {"done": "made", "diverged": "failed"}.get(result.status, result.status)
            reason = DIVERGED if result.status == "diverged" else ""
    except KeyboardInterrupt:
        status = "interrupted"
    except Exception as error:  # whatever is wrong with one job, the others go on
        reason = one_line(error)
    return Outcome(number, job, status, reason, time.monotonic() - begun)


def one_line(error: BaseException) -> str:
    """Return what an error says in one line, with its kind unless it was raised to be read."""
    words = " ".join(str(error).split())[:500]
    return words if isinstance(error, ValueError) and words else f"{type(error).__name__}: {words}"


class WorkerProcesses(Executor):
    """What `worker_processes` returns."""

    def __init__(self, count: int):
        self.ahead, threads = AHEAD * count, max(1, (os.cpu_count() or 1) // count)
        spawned = multiprocessing.get_context("spawn")  # never forked: a forked TensorFlow hangs
        self._start = functools.partial(ProcessPoolExecutor, count, spawned, _start_process, (threads,))
        self._pool = self._start()

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Call a function in a worker; if one has died since, all are started anew."""
        # This starts processes, which would run the script that is `__main__` first: without its guard once more, and
        # one from standard input, of which there is no file, not at all.
        script, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        try:
            return self._pool.submit(function, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._start()
            return self._pool.submit(function, *args, **kwargs)
        finally:
            sys.modules["__main__"] = script

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def worker_processes(count: int) -> WorkerProcesses:
    """Return an executor of worker processes that share the CPU's cores among them, and end with this process.

    They do not run the script that starts them, so it needs no `__main__` guard, and they know none of its functions.

    Args:
        count: How many.

    Raises:
        ValueError: If it is less than 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}; expected at least 1 worker.")
    return WorkerProcesses(count)


def start_worker(threads: int) -> None:
    """Start TensorFlow in a worker with its share of cores and of a GPU's memory; what the environment says stays."""
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # the first would take all of a GPU's memory
    start_tensorflow()


def _start_process(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that gives out the jobs ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start_worker(threads)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # killed, it cannot end its workers
    os._exit(1)
