"""Many pictures on many machines: workers of a Ray cluster that keep their network warm."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nst_tf.tools.jobs import Job
from nst_tf.tools.many import Outcome, in_words, make_in_worker, start_worker

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

LOCAL = "local"
# How often a job is given out again after the worker that had it died; one that kills every worker has to end.
RETRIES = 2
# A picture never goes through Ray's store, only words about it, so the smallest store that Ray allows is enough.
STORE_BYTES = 100 * 2**20


class RayWorkers:
    """Workers of a Ray cluster, for `stylize_many`; see `ray_workers`.

    Args:
        actors: Ray's handles of them, each with the methods `start()` and `make(number, job, again)`.
    """

    def __init__(self, actors: Sequence[ActorHandle]):
        self._actors = actors
        self.count = len(actors)

    def outcomes(self, numbered: Iterator[tuple[int, Job]], again: bool) -> Iterator[Outcome]:
        """Give each worker one job at a time, as soon as it is free, and tell what came of each.

        Args:
            numbered: Jobs with their numbers, read as workers become free.
            again: As for `stylize_many`.

        Raises:
            ValueError: If no worker could start; the message says why.
        """
        import ray

        starting = {actor.start.remote(): actor for actor in self._actors}
        busy: dict[ObjectRef, tuple[ActorHandle, int, Job]] = {}
        following = next(numbered, None)
        # A worker for which there is no room yet may never start, and nobody waits for it.
        while busy or (following and starting):
            reference = ray.wait([*busy, *starting])[0][0]
            error = _error_of(reference)
            if reference in starting:
                actor = starting.pop(reference)
                if error:
                    if not (starting or busy):
                        raise ValueError(f"No worker could start; is nst_tf installed on all machines? {error}")
                    continue
                outcome = None
            else:
                actor, number, job = busy.pop(reference)
                outcome = Outcome(number, job, "failed", error) if error else ray.get(reference)
            if following:
                busy[actor.make.remote(*following, again)] = (actor, *following)
                following = next(numbered, None)
            if outcome:
                yield outcome


def _error_of(reference: ObjectRef) -> str:
    """Return why what a worker was asked to do failed, "" if it did not; a worker itself fails no job but by dying."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        return f"its worker died, and so did those that tried it again ({in_words(error)})"
    return ""


class _Painter:
    """What runs in a worker process."""

    def __init__(self, threads: int):
        start_worker(threads)

    def start(self) -> None:
        """Answer, when the worker has started."""

    def make(self, number: int, job: Job, again: bool) -> Outcome:
        """Make the picture of a job."""
        return make_in_worker(number, job, again)


@contextlib.contextmanager
def ray_workers(
    address: str = LOCAL, *, count: int | None = None, cpus: float = 1, gpus: float = 0
) -> Iterator[RayWorkers]:
    """Start workers on a Ray cluster, and stop them at the end.

    Jobs name files by their paths, so all machines have to see the same folders; addresses (https://…) need no shared
    folder, but outputs do.  nst_tf has to be installed on all machines.

    Args:
        address: Of a running cluster: "auto" from one of its machines, or "host:6379".  "local" starts one on this
            machine alone.
        count: How many workers; as many as the cluster has room for if not given.
        cpus: CPU cores of each; TensorFlow uses so many threads.
        gpus: GPUs of each, such as 0.25 for four workers on every GPU.

    Yields:
        The workers, as `stylize_many` takes them.

    Raises:
        ValueError: If Ray is not installed, there is no such cluster, or no room for one worker.

    Example:
        >>> with ray_workers("local", count=2) as workers:
        ...     for outcome in stylize_many(jobs, executor=workers):
        ...         print(outcome.job.output, outcome.status)

    Reference:
        Moritz et al.: "Ray: A Distributed Framework for Emerging AI Applications", OSDI 2018.
    """
    ray = _ray()
    if (count is not None and count < 1) or cpus <= 0 or gpus < 0:
        raise ValueError(f"{count} workers of {cpus} CPU cores and {gpus} GPUs make no sense.")
    if ray.is_initialized():  # by whoever calls this, who keeps it
        yield _workers_in(ray, count, cpus, gpus)
        return
    options = {"namespace": "nst_tf", "log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        cores = max(math.ceil((count or 0) * cpus), os.cpu_count() or 1)
        options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    try:
        ray.init(address, **options)
    except ConnectionError as error:
        raise ValueError(f"There is no Ray cluster at {address!r}: {in_words(error)}") from error
    try:
        yield _workers_in(ray, count, cpus, gpus)
    finally:
        ray.shutdown()


def _workers_in(ray: Any, count: int | None, cpus: float, gpus: float) -> RayWorkers:
    """Start workers on the cluster that Ray is connected to."""
    resources = ray.cluster_resources()
    room = resources.get("CPU", 0.0) / cpus
    room = math.floor(min(room, resources.get("GPU", 0.0) / gpus) if gpus else room)
    if not room:
        raise ValueError(f"The cluster has no room for a worker of {cpus} CPU cores and {gpus} GPUs.")
    # Ray starts a worker that died again, on another machine if its own is gone, and gives it the job again.
    options = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": -1, "max_task_retries": RETRIES}
    painter = ray.remote(_Painter).options(**options)
    return RayWorkers([painter.remote(max(1, math.floor(cpus))) for _ in range(min(count or room, room))])


def _ray() -> Any:
    # Ray would report its use over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ValueError("Ray is not installed; pip install 'nst_tf[cluster]' brings it.") from None
    return ray
