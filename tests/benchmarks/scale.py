"""What many pictures cost on this machine, and what a million would: `make bench-scale`.

Prints a table, and writes the figures as JSON into outputs/.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nst_tf.ground.startup import start_tensorflow
from nst_tf.tools.cluster import cluster_workers
from nst_tf.tools.jobs import Job, pairs
from nst_tf.tools.many import Outcome, stylize_many

ROOT = Path(__file__).resolve().parents[2]
MILLION = 1_000_000


def main() -> None:
    """Measure, and estimate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=24, help="how many pictures (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="their size in pixels (default: %(default)s)")
    parser.add_argument("--commands", type=int, default=8, help="how many of them also by commands of their own")
    options = parser.parse_args()
    if options.jobs < 3:
        parser.error("take at least 3 jobs")
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        jobs = jobs_in(folder, options.jobs, options.size)
        one = runs["one worker"] = timed(jobs, workers=1)
        two = runs["two workers"] = timed(jobs, workers=2)
        runs["two workers, one killed"] = timed(jobs, workers=2, kill_after=len(jobs) // 3)
        here = runs["this process, all cores"] = timed(jobs)
        commands = runs["separate commands"] = timed_commands(jobs[: options.commands])
        size = statistics.mean(os.path.getsize(job.output) for job in jobs)
    for name, part in runs.items():
        print(f"{name:26}{part['seconds']:8.0f} s{3600 * part['made'] / part['seconds']:8.0f} an hour", flush=True)
    print(f"two workers over one: {one['seconds'] / two['seconds']:.2f} times the throughput")
    for name, part in (("one worker", one), ("this process", here)):
        times = part["made"] / part["seconds"] * commands["seconds"] / commands["made"]
        print(f"{name} over separate commands: {times:.2f} times the throughput")
    print_million(one, size)
    output = ROOT / "outputs" / "scale.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps({**runs, "bytes": size}, indent=1) + "\n")
    print(output)


def jobs_in(folder: str, count: int, size: int) -> list[Job]:
    """Return jobs for every pair of bundled pictures, and again with other seeds until there are enough."""
    images = ROOT / "images"
    every = [
        job
        for seed in range(count)
        for job in pairs(
            images / "content",
            images / "style",
            os.path.join(folder, str(seed)),
            features="slim",
            size=size,
            seed=seed,
        )
    ]
    return every[:count]


def timed(jobs: list[Job], *, workers: int = 0, kill_after: int | None = None) -> dict:
    """Make all images, and return the seconds that it took, starting the workers included."""
    begun = time.perf_counter()
    if not workers:
        start_tensorflow()  # as the command line does, before anything imports it
        return _timed(jobs, None, begun)
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        cluster_workers(cluster.scheduler_address) as executor,
    ):
        # A worker has a job at every moment, so whichever is killed loses one.
        victim = next(iter(cluster.workers.values())).pid
        return _timed(jobs, executor, begun, kill_after=kill_after, victim=victim)


def _timed(jobs: list[Job], executor, begun: float, *, kill_after: int | None = None, victim: int = 0) -> dict:
    outcomes: list[Outcome] = []
    for outcome in stylize_many(jobs, executor=executor, again=True):
        outcomes.append(outcome)
        if len(outcomes) == kill_after:
            os.kill(victim, signal.SIGKILL)
    made = sum(outcome.status == "made" for outcome in outcomes)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "made": made, "each": [outcome.seconds for outcome in outcomes]}


def timed_commands(jobs: list[Job]) -> dict:
    """Make each picture by a command of its own."""
    begun = time.perf_counter()
    each = []
    for job in jobs:
        started = time.perf_counter()
        command = [sys.executable, "-m", "nst_tf", "stylize", job.content, *job.styles, "-o", job.output]
        command += ["--features", job.features, "--size", str(job.size), "--seed", str(job.seed)]
        subprocess.run(command, check=True, capture_output=True)
        each.append(time.perf_counter() - started)
    return {"seconds": time.perf_counter() - begun, "made": len(jobs), "each": each}


def formula(count: int, each: list[float], workers: int) -> float:
    """Return the seconds that so many jobs take: T = N · t / W + t, for the last jobs do not end together."""
    mean = statistics.mean(each)
    return count * mean / workers + mean


def print_million(one: dict, size: float) -> None:
    """Say what a million pictures would take."""
    mean = statistics.mean(one["each"][1:])
    print(f"one picture: {mean:.1f} s of one core, {size / 1e3:.0f} kB (the first of a worker {one['each'][0]:.0f} s)")
    for workers in (100, 1000):
        days = formula(MILLION, [mean], workers) / 86400
        print(f"a million on {workers} such cores: {days:.1f} days, {MILLION * size / 1e9:.0f} GB")


if __name__ == "__main__":
    main()
