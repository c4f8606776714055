"""Many images on many machines: the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor

from nst_tf.tools.many import one_line, start_worker

# Jobs that wait at the scheduler, for however many workers may come; each is some hundred bytes.
AHEAD = 1000
SECONDS_TO_CONNECT = 10


@contextlib.contextmanager
def cluster_workers(address: str) -> Iterator[Executor]:
    """Connect to a Dask cluster, and start TensorFlow in its workers, also in those that join later.

    A worker takes as many jobs at once, and TensorFlow in it as many cores, as it has threads (`--nthreads`).  If one
    dies, Dask gives its jobs to others.  Jobs name files by their paths, so all machines have to see the same folders;
    addresses (https://…) need no shared folder, but outputs do.  nst_tf has to be installed on all machines.

    Args:
        address: Of the cluster's scheduler, such as "tcp://10.0.0.1:8786".

    Yields:
        The workers, as `stylize_many` takes them.

    Raises:
        ValueError: If Dask is not installed, there is no scheduler, or a worker cannot start.

    Example:
        >>> with cluster_workers("tcp://10.0.0.1:8786") as workers:
        ...     for outcome in stylize_many(jobs, executor=workers):
        ...         print(outcome.job.output, outcome.status)

    Reference:
        Rocklin: "Dask: Parallel Computation with Blocked algorithms and Task Scheduling", SciPy 2015.
    """
    try:
        import distributed
    except ImportError:
        raise ValueError("Dask is not installed; pip install 'nst_tf[cluster]' brings it.") from None
    try:
        client = distributed.Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ValueError(f"There is no Dask scheduler at {address!r}: {one_line(error)}") from error
    with client:
        try:
            client.register_worker_callbacks(lambda dask_worker: start_worker(dask_worker.state.nthreads))
        except Exception as error:  # whatever kind of error the worker had
            raise ValueError(f"A worker of {address!r} cannot start (is nst_tf there?): {one_line(error)}") from error
        workers = client.get_executor(pure=False)  # the same job a second time is not what it was the first time
        workers.ahead = AHEAD
        yield workers
