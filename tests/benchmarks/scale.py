"""What many pictures cost on this machine, and what a million would: `make bench-scale`.

Prints a table, and writes the figures as JSON into outputs/.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from nst_tf.engine.quiet import start_tensorflow
from nst_tf.tools.cluster import ray_workers
from nst_tf.tools.jobs import Job, pairs
from nst_tf.tools.many import Outcome, Task, stylize_many

ROOT = Path(__file__).resolve().parents[2]
MILLION = 1_000_000
# The simulation: so many workers that sleep for a job's measured seconds divided by SPEED.
WORKERS, JOBS, SPEED = 100, 4000, 5


def main() -> None:
    """Measure, simulate, estimate."""
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
    simulation = simulated(one["each"])
    print_simulation(simulation)
    print_million(one, size)
    output = ROOT / "outputs" / "scale.json"
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps({**runs, "bytes": size, "simulation": simulation}, indent=1) + "\n")
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
    """Make all pictures, and return the seconds that it took, starting the workers included."""
    begun = time.perf_counter()
    if not workers:
        start_tensorflow()  # as the command line does, before anything imports it
        return _timed(jobs, None, begun, None)
    with ray_workers("local", count=workers) as executor:
        return _timed(jobs, executor, begun, kill_after)


def _timed(jobs: list[Job], executor, begun: float, kill_after: int | None) -> dict:
    outcomes: list[Outcome] = []
    for outcome in stylize_many(jobs, executor=executor, again=True):
        outcomes.append(outcome)
        if len(outcomes) == kill_after:
            os.kill(working()[0].pid, signal.SIGKILL)
    made = sum(outcome.status == "made" for outcome in outcomes)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "made": made, "each": [outcome.seconds for outcome in outcomes]}


def working() -> list[psutil.Process]:
    """Return Ray's worker processes that are at work on a picture."""
    processes = psutil.Process().children(recursive=True)
    return [process for process in processes if "_Painter.make" in " ".join(process.cmdline())]


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


class Sleeper:
    """Stands for many workers at once: its jobs are all asleep at the same time."""

    async def start(self) -> None:
        """Answer."""

    async def make(self, task: Task) -> Outcome:
        """Sleep for as long as a job takes that was measured."""
        seconds = float(task.job.content)
        await asyncio.sleep(seconds / SPEED)
        return Outcome(task.number, task.job, "made", seconds=seconds)


def simulated(each: list[float]) -> dict:
    """Give out jobs of the measured lengths through Ray to many workers that sleep, and compare with the formula."""
    import ray

    from nst_tf.tools.cluster import RayWorkers

    rng = random.Random(0)
    lengths = [rng.choice(each[1:]) for _ in range(JOBS)]
    with ray_workers("local", count=1):
        sleeper = ray.remote(Sleeper).options(max_concurrency=2 * WORKERS, num_cpus=0).remote()
        ray.get(sleeper.start.remote())
        begun = time.perf_counter()
        jobs = (Job(str(length), [], str(number), features="slim") for number, length in enumerate(lengths))
        made = sum(outcome.status == "made" for outcome in stylize_many(jobs, executor=RayWorkers([sleeper] * WORKERS)))
        seconds = (time.perf_counter() - begun) * SPEED
        begun = time.perf_counter()
        nothing = (Job("0", [], str(number), features="slim") for number in range(JOBS))
        sum(1 for _ in stylize_many(nothing, executor=RayWorkers([sleeper] * WORKERS)))
        rate = JOBS / (time.perf_counter() - begun)
    return {"made": made, "seconds": seconds, "formula": formula(JOBS, lengths, WORKERS), "jobs a second": rate}


def formula(count: int, each: list[float], workers: int) -> float:
    """Return the seconds that so many jobs take: T = N · t / W + t, for the last jobs do not end together."""
    mean = statistics.mean(each)
    return count * mean / workers + mean


def print_simulation(figures: dict) -> None:
    """Say how far the formula is off."""
    off = figures["seconds"] / figures["formula"]
    print(
        f"{figures['made']} jobs on {WORKERS} workers, given out through Ray, asleep for the measured times / {SPEED}:"
    )
    print(f"  {figures['seconds']:.0f} s, by the formula {figures['formula']:.0f} s ({off:.2f} times)")
    print(f"  at most {figures['jobs a second']:.0f} jobs a second are given out")


def print_million(one: dict, size: float) -> None:
    """Say what a million pictures would take."""
    mean = statistics.mean(one["each"][1:])
    print(f"one picture: {mean:.1f} s of one core, {size / 1e3:.0f} kB (the first of a worker {one['each'][0]:.0f} s)")
    for workers in (100, 1000):
        days = formula(MILLION, [mean], workers) / 86400
        print(f"a million on {workers} such cores: {days:.1f} days, {MILLION * size / 1e9:.0f} GB")


if __name__ == "__main__":
    main()
