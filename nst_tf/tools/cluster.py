"""Many pictures on many machines: an executor whose calls run on a Ray cluster."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Any

from nst_tf.tools.many import RETRIES, first_line, start_worker

LOCAL = "local"
# A picture never goes through Ray's store, only words about it.
STORE_BYTES = 100 * 2**20


class RayWorkers(Executor):
    """Calls functions on a Ray cluster, which makes those again whose worker or machine died; see `ray_workers`.

    Args:
        call: `call_in_worker` as Ray's remote function.
        threads: How many TensorFlow uses in each worker.
        count: How many calls may be under way at once.
    """

    def __init__(self, call: Any, threads: int, count: int):
        self._call, self._threads = call, threads
        self.count = count

    def submit(self, function: Callable, /, *args: Any) -> Future:
        """Call a function in a worker, as soon as one is free."""
        return self._call.remote(self._threads, function, *args).future()


def call_in_worker(threads: int, function: Callable, *args: Any) -> Any:
    """Call a function in a worker process, which Ray uses again and again."""
    if "tensorflow" not in sys.modules:
        start_worker(threads)
    return function(*args)


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
            raise ValueError(f"There is no Ray cluster at {address!r} to work on: {first_line(error)}") from error
    try:
        room = sum(_room(node["Resources"], cpus, gpus) for node in ray.nodes() if node["Alive"])
        if not room:
            raise ValueError(f"No machine of the cluster has room for a worker of {cpus} CPU cores and {gpus} GPUs.")
        # Ray would end a worker with a GPU after each call, and its network with it.
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES, "max_calls": 0}
        call = ray.remote(**options)(call_in_worker)
        yield RayWorkers(call, max(1, math.floor(cpus)), min(count or room, room))
    finally:
        if begun_here:
            ray.shutdown()


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
