"""On a real Dask cluster of two worker processes, started and stopped here."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import smooth_picture, striped_picture
from PIL import Image

from nst_tf.cli.parser import main
from nst_tf.images import save_image
from nst_tf.tools.cluster import cluster_workers
from nst_tf.tools.jobs import Job, pairs
from nst_tf.tools.many import stylize_many

pytestmark = pytest.mark.cluster
distributed = pytest.importorskip("distributed")
OPTIONS = {"features": "slim", "size": 48, "steps": 4}


@pytest.fixture(scope="module")
def cluster():
    dask = pytest.importorskip("dask")
    # A job whose worker died twice fails.
    dask.config.set({"distributed.scheduler.allowed-failures": 1})
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as started:
        yield started


@pytest.fixture(scope="module")
def workers(cluster):
    with cluster_workers(cluster.scheduler_address) as connected:
        yield connected


@pytest.fixture
def jobs(tmp_path):
    for number in range(4):
        save_image(np.roll(smooth_picture(48, 64), 9 * number, axis=2), tmp_path / "contents" / f"c{number}.png")
    save_image(striped_picture(56, 48), tmp_path / "styles" / "s.png")
    return list(pairs(tmp_path / "contents", tmp_path / "styles", tmp_path / "out", **OPTIONS))


def pixels(path):
    return np.asarray(Image.open(path)).astype(float)


def at_work(cluster):
    """The process of each worker that has a job, by the keys of its jobs."""
    pids = {nanny.worker_address: nanny.pid for nanny in cluster.workers.values()}
    with distributed.Client(cluster, set_as_default=False) as client:
        return {keys: pids[address] for address, keys in client.processing().items() if keys and address in pids}


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


def test_a_bad_image_costs_its_own_job_only(workers, jobs, tmp_path):
    (tmp_path / "contents" / "c1.png").write_bytes(b"no picture")
    outcomes = {outcome.number: outcome for outcome in stylize_many(jobs, executor=workers)}
    assert [outcomes[number].status for number in range(4)] == ["made", "failed", "made", "made"]
    assert "c1.png" in outcomes[1].reason


def test_jobs_are_read_as_workers_become_free(workers, jobs, monkeypatch):
    monkeypatch.setattr(workers, "ahead", 4)
    taken = []

    def reading():
        for job in jobs * 25:
            taken.append(job)
            yield Job(**{**vars(job), "output": f"{job.output}.{len(taken)}.png"})

    outcomes = stylize_many(reading(), executor=workers)
    for _ in range(5):
        next(outcomes)
    assert len(taken) <= 5 + 4
    outcomes.close()


def test_all_arrive_though_a_worker_is_killed_in_the_middle(cluster, workers, jobs):
    many = [Job(**{**vars(jobs[0]), "seed": seed, "output": f"{jobs[0].output}.{seed}.png"}) for seed in range(24)]
    outcomes, killed = [], []
    for outcome in stylize_many(many, executor=workers):
        outcomes.append(outcome)
        if len(outcomes) == 3:
            killed += [next(iter(at_work(cluster).values()))]
            os.kill(killed[0], signal.SIGKILL)
    assert sorted(outcome.number for outcome in outcomes) == list(range(24))
    # One whose worker was killed between its saving and its telling is found there.
    assert {outcome.status for outcome in outcomes} <= {"made", "skipped"}
    assert all(os.path.exists(job.output) for job in many)
    assert killed[0] not in [nanny.pid for nanny in cluster.workers.values()]


def test_a_job_whose_workers_all_die_fails_alone(cluster, workers, jobs):
    endless = Job(**{**vars(jobs[0]), "steps": 1_000_000})
    outcomes = stylize_many([endless, *jobs[1:]], executor=workers)
    assert [next(outcomes).status for _ in jobs[1:]] == ["made"] * 3
    over = threading.Event()

    def kill_again_and_again():
        while not over.wait(1):
            for pid in at_work(cluster).values():
                os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_again_and_again, daemon=True)
    killer.start()
    (last,) = outcomes
    over.set()
    killer.join()
    assert (last.number, last.status) == (0, "failed")
    assert "died" in last.reason
    assert {outcome.status for outcome in stylize_many(jobs, executor=workers)} == {"made", "skipped"}


def test_a_worker_that_joins_later_is_started_too(cluster, workers):
    with distributed.Client(cluster, set_as_default=False) as client:
        cluster.scale(3)
        client.wait_for_workers(3, timeout=120)
        started = client.run(lambda: "tensorflow" in sys.modules)
        cluster.scale(2)
    assert list(started.values()) == [True] * 3


def test_where_there_is_no_scheduler_an_error_says_so(monkeypatch, capsys):
    monkeypatch.setattr("nst_tf.tools.cluster.SECONDS_TO_CONNECT", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(ValueError, match=f"no Dask scheduler at '{address}'"), cluster_workers(address):
            pass
    assert main(["many", "jobs.csv", "--cluster", "tcp://127.0.0.1:9", "--workers", "2"]) == 2
    assert "--cluster, whose workers" in capsys.readouterr().err


@pytest.fixture
def command(cluster, tmp_path, jobs):
    options = ["--content-dir", tmp_path / "contents", "--style-dir", tmp_path / "styles", "-o", tmp_path / "out"]
    options += ["--features", "slim", "--size", 48, "--steps", 4, "--cluster", cluster.scheduler_address]
    return [sys.executable, "-m", "nst_tf", "many", *map(str, options)]


def test_the_command_line_reports(workers, command, tmp_path):
    report = tmp_path / "report.csv"
    done = subprocess.run([*command, "--report", str(report)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "4 made" in done.stdout
    assert len(report.read_text().splitlines()) == 5


def test_an_interrupt_ends_the_command_and_the_workers_take_no_further_jobs(cluster, workers, command, tmp_path):
    log = tmp_path / "log.txt"
    with open(log, "w") as output:
        process = subprocess.Popen([*command, "--steps", "300"], stdout=output, stderr=output)
    deadline = time.monotonic() + 180
    while len(at_work(cluster)) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 130, log.read_text()
    assert "The same command goes on from there." in log.read_text()
    while at_work(cluster) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not at_work(cluster)
    assert len(list((tmp_path / "out").glob("*.png"))) <= 2
