"""On a real Ray cluster of two workers, started and stopped here."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from conftest import smooth_picture, striped_picture
from PIL import Image

from nst_tf.images import save_image
from nst_tf.tools.cluster import ray_workers
from nst_tf.tools.jobs import Job, pairs
from nst_tf.tools.many import stylize_many

pytestmark = pytest.mark.cluster
ray = pytest.importorskip("ray")
OPTIONS = {"features": "slim", "size": 48, "steps": 4}


@pytest.fixture(scope="module")
def workers():
    with ray_workers("local", count=2) as started:
        yield started


@pytest.fixture
def jobs(tmp_path):
    for number in range(4):
        save_image(np.roll(smooth_picture(48, 64), 9 * number, axis=2), tmp_path / "contents" / f"c{number}.png")
    save_image(striped_picture(56, 48), tmp_path / "styles" / "s.png")
    return list(pairs(tmp_path / "contents", tmp_path / "styles", tmp_path / "out", **OPTIONS))


def pixels(path):
    return np.asarray(Image.open(path)).astype(float)


def working():
    """The worker processes of this test run that are at work on a job."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [process] if "call_in_worker" in " ".join(process.cmdline()) else []
    return found


def test_results_are_those_of_one_worker_after_the_other(workers, jobs):
    assert {outcome.status for outcome in stylize_many(jobs, executor=workers)} == {"made"}
    together = {job.output: pixels(job.output) for job in jobs}
    # A single process with as many threads as a worker has: how sums are split among threads moves their last bits.
    script = (
        "from nst_tf.tools.many import start_worker, stylize_many; start_worker(1);"
        "import pickle, sys; list(stylize_many(pickle.load(sys.stdin.buffer), again=True))"
    )
    subprocess.run([sys.executable, "-c", script], input=pickle.dumps(jobs), check=True)
    for path, made in together.items():
        np.testing.assert_array_equal(pixels(path), made)


def test_a_second_call_makes_nothing(workers, jobs):
    list(stylize_many(jobs, executor=workers))
    before = [os.stat(job.output).st_mtime_ns for job in jobs]
    assert {outcome.status for outcome in stylize_many(jobs, executor=workers)} == {"skipped"}
    assert before == [os.stat(job.output).st_mtime_ns for job in jobs]


def test_a_bad_picture_costs_its_own_job_only(workers, jobs, tmp_path):
    (tmp_path / "contents" / "c1.png").write_bytes(b"no picture")
    outcomes = {outcome.number: outcome for outcome in stylize_many(jobs, executor=workers)}
    assert [outcomes[number].status for number in range(4)] == ["made", "failed", "made", "made"]
    assert "c1.png" in outcomes[1].reason


def test_jobs_are_read_as_workers_become_free(workers, jobs):
    taken = []

    def reading():
        for job in jobs * 25:
            taken.append(job)
            yield job

    outcomes = stylize_many(reading(), executor=workers)
    for _ in range(5):
        next(outcomes)
    assert len(taken) <= 5 + 2 * workers.count
    outcomes.close()


def test_all_arrive_though_a_worker_is_killed_in_the_middle(workers, jobs):
    many = [Job(**{**vars(jobs[0]), "seed": seed, "output": f"{jobs[0].output}.{seed}.png"}) for seed in range(24)]
    outcomes, killed = [], []
    for outcome in stylize_many(many, executor=workers):
        outcomes.append(outcome)
        if len(outcomes) == 3:
            victim = working()[0]
            os.kill(victim.pid, signal.SIGKILL)
            killed.append(victim.pid)
    assert sorted(outcome.number for outcome in outcomes) == list(range(24))
    # One whose worker was killed between its saving and its telling is found there.
    assert {outcome.status for outcome in outcomes} <= {"made", "skipped"}
    assert all(os.path.exists(job.output) for job in many)
    assert killed
    assert not psutil.pid_exists(killed[0]) or psutil.Process(killed[0]).status() == psutil.STATUS_ZOMBIE


def test_a_job_whose_workers_all_die_fails_alone(workers, jobs):
    endless = Job(**{**vars(jobs[0]), "steps": 1_000_000})
    outcomes = stylize_many([endless, *jobs[1:]], executor=workers)
    assert [next(outcomes).status for _ in jobs[1:]] == ["made"] * 3
    over = threading.Event()

    def kill_again_and_again():
        while not over.wait(1):
            for worker in working():
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()

    killer = threading.Thread(target=kill_again_and_again, daemon=True)
    killer.start()
    (last,) = outcomes
    over.set()
    killer.join()
    assert (last.number, last.status) == (0, "failed")
    assert "died" in last.reason
    assert {outcome.status for outcome in stylize_many(jobs, executor=workers)} == {"made", "skipped"}


def test_where_no_worker_fits_an_error_says_so(workers):
    with pytest.raises(ValueError, match="No machine of the cluster has room"), ray_workers(cpus=1000):
        pass
    with pytest.raises(ValueError, match="expected at least 1"), ray_workers(count=0):
        pass


@pytest.fixture
def command(jobs, tmp_path):
    options = ["--content-dir", tmp_path / "contents", "--style-dir", tmp_path / "styles", "-o", tmp_path / "out"]
    options += ["--features", "slim", "--size", 48, "--steps", 4, "--ray", "local", "--workers", 2]
    return [sys.executable, "-m", "nst_tf", "many", *map(str, options)]


def test_the_command_line_reports(command, tmp_path):
    report = tmp_path / "report.csv"
    done = subprocess.run([*command, "--report", str(report)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 made" in done.stdout
    assert len(report.read_text().splitlines()) == 5


def test_an_interrupt_ends_the_command_and_leaves_nothing_running(command, tmp_path):
    log = tmp_path / "log.txt"
    with open(log, "w") as output:
        process = subprocess.Popen([*command, "--steps", "1000000"], stdout=output, stderr=output)
    deadline = time.monotonic() + 180
    while "2 workers" not in log.read_text() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    started = psutil.Process(process.pid).children(recursive=True)
    assert started, log.read_text()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130, log.read_text()
    assert "The same command goes on from there." in log.read_text()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive
