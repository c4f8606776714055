"""Many pictures on many machines: workers of a Ray cluster that keep their network from job to job."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nst_tf.tools.many import RETRIES, Outcome, Task, in_words, make_in_worker, start_worker

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

LOCAL = "local"
# How long to wait for a worker while there is none at work.
START_SECONDS = 300
# A picture never goes through Ray's store, only words about it.
STORE_BYTES = 100 * 2**20


class RayWorkers:
    """Workers of a Ray cluster, for `stylize_many`; see `ray_workers`.

    Args:
        actors: Ray's handles of them, each with the methods `start()` and `make(task)`.
    """

    def __init__(self, actors: Sequence[ActorHandle]):
        self._actors = actors
        self.count = len(actors)

    def outcomes(self, tasks: Iterator[Task]) -> Iterator[Outcome]:
        """Give each worker one job at a time, as soon as it is free, and tell what came of each.

        Args:
            tasks: Read as workers become free.

        Raises:
            ValueError: If no worker can start; the message says why.
        """
        import ray

        starting = {_started(actor): actor for actor in self._actors}
        free: deque[ActorHandle] = deque()
        busy: dict[ObjectRef, tuple[ActorHandle, Task]] = {}
        lost: deque[Task] = deque()  # by workers that died
        deaths: Counter[int] = Counter()
        reason = "there is no room for one, or the machines are gone"
        while True:
            while free and (task := lost.popleft() if lost else next(tasks, None)):
                actor = free.popleft()
                busy[actor.make.remote(task)] = (actor, task)
            if free and not busy:
                return
            ready = ray.wait([*busy, *starting], timeout=None if busy else START_SECONDS)[0] if busy or starting else []
            if not ready:
                raise ValueError(f"No worker could start: {reason}. nst_tf has to be installed on all machines.")
            error = _error_of(ready[0])
            if ready[0] in starting:
                actor = starting.pop(ready[0])
                if error:
                    reason = error
                else:
                    free.append(actor)
                continue
            actor, task = busy.pop(ready[0])
            if not error:
                free.append(actor)
                yield ray.get(ready[0])
                continue
            starting[_started(actor)] = actor  # unless Ray cannot start it again it will answer
            deaths[task.number] += 1
            if deaths[task.number] <= RETRIES:
                lost.append(task)
            else:
                reasons = f"the {deaths[task.number]} workers that tried it died; the last: {error}"
                yield Outcome(task.number, task.job, "failed", reasons)

    def stop(self) -> None:
        """End the workers."""
        import ray

        for actor in self._actors:
            ray.kill(actor)


def _started(actor: ActorHandle) -> ObjectRef:
    """Return what is ready when a worker has started, or started again."""
    return actor.start.options(max_task_retries=-1).remote()


def _error_of(reference: ObjectRef) -> str:
    """Return why what a worker was asked to do failed, "" if it did not."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        # Ray's messages begin with where it happened and end with what.
        return [line.strip() for line in str(error).splitlines() if line.strip()][-1][:500]
    return ""


class _Painter:
    """What runs in a worker process."""

    def __init__(self, threads: int):
        start_worker(threads)

    def start(self) -> None:
        """Answer, when the worker has started."""

    def make(self, task: Task) -> Outcome:
        """Make the picture of a job."""
        return make_in_worker(task)


@contextlib.contextmanager
def ray_workers(
    address: str = LOCAL, *, count: int | None = None, cpus: float = 1, gpus: float = 0
) -> Iterator[RayWorkers]:
    """Start workers on a Ray cluster, and stop them at the end.

    Jobs name files by their paths, so all machines have to see the same folders; addresses (https://…) need no shared
    folder, but outputs do.  nst_tf has to be installed on all machines.

    Args:
        address: Of a running cluster: "auto" from one of its machines, or "host:6379".  "local" starts one on this
            machine alone.  If Ray is connected to a cluster already, that one is used.
        count: How many workers at most; as many as the cluster has room for if not given.
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
        raise ValueError(
            f"{count} workers of {cpus} CPU cores and {gpus} GPUs; expected at least 1, some, and 0 or more."
        )
    begun_here = not ray.is_initialized()
    if begun_here:
        options = {"namespace": "nst_tf", "log_to_driver": False, "logging_level": "ERROR"}
        if address == LOCAL:
            cores = max(math.ceil((count or 0) * cpus), os.cpu_count() or 1)
            options |= {"num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        try:
            ray.init(address, **options)
        except (ConnectionError, RuntimeError) as error:
            raise ValueError(f"There is no Ray cluster at {address!r} to work on: {in_words(error)}") from error
    workers = None
    try:
        workers = _workers_on(ray, count, cpus, gpus)
        yield workers
    finally:
        if begun_here:
            ray.shutdown()
        elif workers:
            workers.stop()


def _workers_on(ray: Any, count: int | None, cpus: float, gpus: float) -> RayWorkers:
    """Start workers on the cluster that Ray is connected to."""
    room = sum(_room(node["Resources"], cpus, gpus) for node in ray.nodes() if node["Alive"])
    if not room:
        raise ValueError(f"No machine of the cluster has room for a worker of {cpus} CPU cores and {gpus} GPUs.")
    # Ray starts a worker that died again, on another machine if its own is gone.
    painter = ray.remote(_Painter).options(num_cpus=cpus, num_gpus=gpus, max_restarts=-1)
    return RayWorkers([painter.remote(max(1, math.floor(cpus))) for _ in range(min(count or room, room))])


def _room(resources: dict[str, float], cpus: float, gpus: float) -> int:
    """Return how many workers fit into one machine."""
    room = resources.get("CPU", 0.0) / cpus
    return math.floor(min(room, resources.get("GPU", 0.0) / gpus) if gpus else room)


def _ray() -> Any:
    # Ray would report its use over the network.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ValueError("Ray is not installed; pip install 'nst_tf[cluster]' brings it.") from None
    return ray
