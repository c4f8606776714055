"""Many pictures: jobs one after the other or on an executor's workers, where a failure costs one picture."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, NamedTuple

from nst_tf.tools.jobs import Job

if TYPE_CHECKING:
    from nst_tf.controls.previous import Previous

# How many jobs wait at an executor's door for each of its workers, so that a long list is not all in memory.
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
        status: "made", "skipped" (its output exists already, made from the same pictures with the same settings),
            "failed" or "interrupted".
        reason: Why it failed.
        seconds: That it took.
    """

    number: int
    job: Job
    status: str
    reason: str = ""
    seconds: float = 0.0


class Task(NamedTuple):
    """A job on its way to a worker.

    Args:
        number: Of the job, counted from 0.
        job: What to make.
        again: Whether to make it even if its output exists.
        problem: Why it cannot be made, if that is known already.
    """

    number: int
    job: Job
    again: bool = False
    problem: str = ""


def stylize_many(
    jobs: Iterable[Job],
    *,
    executor: Executor | None = None,
    ahead: int | None = None,
    again: bool = False,
) -> Iterator[Outcome]:
    """Make many pictures, and tell of each as it is finished.

    Each job's PNG is written whole or not at all.  A job that fails is told of with its reason, and the others go on.
    One whose worker died is made again, at most twice.
    Outputs that exist already, made from the same pictures with the same settings, are skipped: a second call
    after an interruption goes on.

    Args:
        jobs: What to make; read as they are needed, so a generator of a million is fine.  Each needs an `output`.
        executor: Where to make them: `worker_processes(2)`, any `concurrent.futures.Executor`, or `ray_workers(…)`;
            here, one after the other, if not given.  Networks and what was traced for them are kept from job to job.
        ahead: How many jobs an executor is given before it has finished one; by default two for each CPU, and on Ray
            one for each worker.
        again: Make these again too.

    Yields:
        An `Outcome` for each job, in the order in which they are finished.

    Raises:
        ValueError: If the executor forks its processes, which TensorFlow does not survive.  What `jobs` itself raises
            comes after the outcomes of all jobs before.

    Example:
        >>> jobs = [Job(content="a.jpg", styles=["s.jpg"], output="a.png"), Job("b.jpg", ["s.jpg"], "b.png")]
        >>> for outcome in stylize_many(jobs):
        ...     print(outcome.job.output, outcome.status)
    """
    problems: list[Exception] = []
    tasks = _tasks(jobs, again, problems)
    if executor is None:
        return _told(_here(tasks), problems)
    _refuse_forks(executor)
    ahead = ahead or getattr(executor, "count", None) or AHEAD * (os.cpu_count() or 1)
    return _told(_on_executor(tasks, executor, ahead), problems)


def _told(outcomes: Iterator[Outcome], problems: list[Exception]) -> Iterator[Outcome]:
    """Tell of all that came of the jobs, and only then what was wrong with their list."""
    yield from outcomes
    if problems:
        raise problems[0]


def _tasks(jobs: Iterable[Job], again: bool, problems: list[Exception]) -> Iterator[Task]:
    """Number the jobs; a list that cannot be read further ends there, and `problems` says why."""
    outputs: set[bytes] = set()
    try:
        for number, job in enumerate(jobs):
            name = short_hash(job.output)
            problem = ""
            if not job.output:
                problem = "it has no output"
            elif name in outputs:
                problem = f"its output {job.output!r} is another job's too"
            outputs.add(name)
            yield Task(number, job, again, problem)
    except Exception as error:  # raised again when what is under way has been told of
        problems.append(error)


def short_hash(path: str) -> bytes:
    """Return eight bytes that tell a path from others, for lists too long to keep the paths."""
    return hashlib.blake2b(os.fsencode(os.path.normcase(os.path.realpath(path))), digest_size=8).digest()


def _refuse_forks(executor: Executor) -> None:
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "This executor forks its processes, which TensorFlow does not survive. Use worker_processes(count), or "
            "ProcessPoolExecutor(count, mp_context=multiprocessing.get_context('spawn'))."
        )


class WorkerProcesses(Executor):
    """Worker processes that share the CPU's cores among them; see `worker_processes`.

    Args:
        count: How many.
    """

    def __init__(self, count: int):
        self._count = count
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self._count)
        # Spawned, never forked: a forked TensorFlow hangs.
        context = get_context("spawn")
        return ProcessPoolExecutor(self._count, mp_context=context, initializer=start_worker, initargs=(threads,))

    def submit(self, function: Callable, /, *args: Any, **kwargs: Any) -> Future:
        """Call a function in a worker; if one has died since, all are started anew."""
        try:
            return self._pool.submit(function, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown(wait=False)
            self._pool = self._started()
            return self._pool.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let the workers end."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def worker_processes(count: int) -> WorkerProcesses:
    """Return an executor of worker processes that share the CPU's cores among them.

    Args:
        count: How many.

    Raises:
        ValueError: If it is less than 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}; expected at least 1 worker.")
    return WorkerProcesses(count)


def start_worker(threads: int) -> None:
    """Start a worker process: give TensorFlow its share of the cores and of a GPU's memory, before it is imported."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that gives out the jobs ends the workers
    os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # the first worker on a GPU would take all of its memory
    from nst_tf.ground.startup import start_tensorflow

    start_tensorflow()


def _here(tasks: Iterator[Task]) -> Iterator[Outcome]:
    from nst_tf.tools.running import cached_inputs

    with cached_inputs():
        for task in tasks:
            outcome = make(task)
            yield outcome
            if outcome.status == "interrupted":
                return


def _on_executor(tasks: Iterator[Task], executor: Executor, ahead: int) -> Iterator[Outcome]:
    waiting: dict[Future, Task] = {}
    lost: deque[Task] = deque()  # by workers that died
    deaths: Counter[int] = Counter()
    try:
        while True:
            while len(waiting) < ahead and (task := lost.popleft() if lost else next(tasks, None)):
                try:
                    waiting[executor.submit(make, task)] = task
                except RuntimeError as error:  # a pool that lost a worker, or was shut down, takes no more
                    yield Outcome(task.number, task.job, "failed", first_line(error))
            if not waiting:
                return
            done = wait(waiting, return_when=FIRST_COMPLETED).done
            for future in sorted(done, key=lambda future: waiting[future].number):
                task = waiting.pop(future)
                error = future.exception()
                if isinstance(error, BrokenExecutor) and deaths[task.number] < RETRIES:
                    deaths[task.number] += 1
                    lost.append(task)
                elif error:
                    yield Outcome(task.number, task.job, "failed", first_line(error))
                else:
                    yield future.result()
    finally:
        for future in waiting:
            future.cancel()


def make(
    task: Task, find_previous: Callable[[], Previous | None] = lambda: None, callback: Callable | None = None
) -> Outcome:
    """Make the picture of one job and save it, unless it exists already; never raise.

    Args:
        task: What to make.
        find_previous: Returns what `stylize` takes as `previous`.
        callback: As for `stylize`.
    """
    from nst_tf.tools.running import check_job, is_made, run

    begun = time.monotonic()

    def outcome(status: str, reason: str = "") -> Outcome:
        return Outcome(task.number, task.job, status, reason, time.monotonic() - begun)

    try:
        if task.problem:
            return outcome("failed", task.problem)
        check_job(task.job)
        previous = find_previous()
        if not task.again and is_made(task.job, previous):
            return outcome("skipped")
        result = run(task.job, callback, previous=previous)
        if result.status == "done":
            result.save(task.job.output)
            return outcome("made")
        return outcome("interrupted") if result.status == "interrupted" else outcome("failed", DIVERGED)
    except KeyboardInterrupt:
        return outcome("interrupted")
    except Exception as error:  # whatever is wrong with one job, the others go on
        return outcome("failed", first_line(error))


def first_line(error: BaseException) -> str:
    """Return the first line of an error, with its kind unless it was raised to be read."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = lines[0][:500] if lines else type(error).__name__
    return words if isinstance(error, ValueError) else f"{type(error).__name__}: {words}"
