"""Processes that are started, interrupted, killed and watched, as users and machines do it."""

import dataclasses
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from conftest import REPOSITORY
from PIL import Image
from test_many import pixels

from nst_tf.engine.checkpoints import read_checkpoint
from nst_tf.engine.memory import estimate_memory
from nst_tf.ground.startup import ONEDNN_VARIABLE
from nst_tf.images import save_image
from nst_tf.tools.jobs import read_jobs
from nst_tf.tools.many import stylize_many, worker_processes
from nst_tf.tools.plan import plan
from nst_tf.tools.running import run

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems count memory otherwise")
PEAK_OF_A_RUN = """
import re, sys
import numpy as np
from nst_tf import stylize
side = int(sys.argv[1])
content, style = np.random.default_rng(0).uniform(size=(2, 1, side, side, 3)).astype(np.float32)
stylize(content, style, features="slim", steps=1, precision="float32")
print(int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024)
"""
# Prints by how many bytes the peak grows while L-BFGS steps, and how many bytes it remembers.
GROWTH_OF_LBFGS = """
import re
import tensorflow as tf
from nst_tf.engine.lbfgs import LBFGS

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024

shape = (1, 512, 512, 3)
solver = LBFGS(tf.fill(shape, 0.5), 12)
begun = peak()
for _ in range(12):
    difference = solver.image - 0.6
    solver.step(tf.reduce_sum(tf.square(difference)), 2 * difference)
pairs = [variable for name, variable in solver.variables().items() if name.startswith("pair_")]
print(peak() - begun, 4 * sum(pair.shape.num_elements() for pair in pairs))
"""


@on_linux
def test_estimate_is_within_a_quarter_of_what_a_run_takes():
    run = subprocess.run([sys.executable, "-c", PEAK_OF_A_RUN, "1024"], capture_output=True, text=True, check=True)
    assert estimate_memory(1024, 1024, features="slim") == pytest.approx(int(run.stdout), rel=0.25)


@on_linux
def test_lbfgs_uses_what_it_remembers_without_copying_it():
    # Without oneDNN TensorFlow gives memory back later, and copies cannot be told from that.
    environment = {**os.environ, ONEDNN_VARIABLE: "1"}
    command = [sys.executable, "-c", GROWTH_OF_LBFGS]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    growth, remembered = map(int, run.stdout.split())
    assert remembered > 2e8
    assert growth < remembered  # measured: about half; with a copy, at least 1.4 times


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="TensorFlow has oneDNN elsewhere by other rules"
)
@pytest.mark.parametrize(("given", "on"), [({}, True), ({ONEDNN_VARIABLE: "0"}, False)])
def test_starting_tensorflow_turns_onednn_on_unless_the_environment_says_otherwise(given, on):
    code = "from nst_tf.ground.startup import start_tensorflow; start_tensorflow();"
    code += "from nst_tf.ground.startup import onednn_is_on; print(onednn_is_on())"
    environment = {name: value for name, value in os.environ.items() if name != ONEDNN_VARIABLE}
    told = subprocess.run(
        [sys.executable, "-c", code], env={**environment, **given}, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == str(on)


@pytest.fixture
def files(pair, tmp_path):
    return save_image(pair[0], tmp_path / "content.png"), save_image(pair[1], tmp_path / "style.jpg")


def test_a_reader_that_goes_away_does_not_take_the_picture_with_it(files, tmp_path):
    arguments = ["stylize", *map(str, files), "-o", str(tmp_path / "x.png"), "--features", "slim", "--steps", "30"]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "nst_tf", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.read(30)
    process.stdout.close()
    errors = process.stderr.read().decode()
    assert process.wait(120) == 0, errors
    assert errors == ""
    assert Image.open(tmp_path / "x.png").size == (64, 48)


def run_doctor(cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "nst_tf", "doctor"],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=200,
    )


def test_doctor_finds_nothing_wrong_where_the_tests_run(tmp_path):
    done = run_doctor(tmp_path, KERAS_HOME=str(tmp_path / "keras"))
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("Python 3.", "tensorflow 2.", "precision", "GiB of memory free", "VGG19", "can be written to"):
        assert part in done.stdout
    assert "note    ImageNet weights of VGG19 not in the cache." in done.stdout
    assert "problem" not in done.stdout


def test_doctor_works_where_tensorflow_is_broken(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('a library is missing')")
    done = run_doctor(tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "problem TensorFlow does not start: ImportError: a library is missing" in done.stdout
    assert "-> pip install" in done.stdout
    assert "can be written to" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_doctor_itself_does_not_need_tensorflow():
    code = "import sys; import nst_tf.tools.doctor; print('tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def start_cli(tmp_path, pair, *arguments):
    files = save_image(pair[0], tmp_path / "content.png"), save_image(pair[1], tmp_path / "style.png")
    command = [sys.executable, "-m", "nst_tf", "stylize", *map(str, files), "-o", str(tmp_path / "x.png")]
    return subprocess.Popen(
        [*command, "--features", "slim", "--checkpoint", str(tmp_path / "run.nst"), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path, process, seconds=90):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_killed_at_any_moment_a_run_leaves_a_whole_checkpoint_and_sigterm_a_picture(pair, tmp_path):
    run = start_cli(tmp_path, pair, "--steps", 20_000)
    wait_for(tmp_path / "run.nst", run)
    time.sleep(1.5)
    run.kill()
    run.wait()
    assert not (tmp_path / "x.png").exists()
    at = int(read_checkpoint(tmp_path / "run.nst").variables["step"])
    assert at > 0
    again = start_cli(tmp_path, pair, "--steps", 20_000, "--resume", tmp_path / "run.nst")
    deadline = time.monotonic() + 90
    while int(read_checkpoint(tmp_path / "run.nst").variables["step"]) <= at:
        assert time.monotonic() < deadline and again.poll() is None, again.communicate()
        time.sleep(0.2)
    again.send_signal(signal.SIGTERM)
    output, errors = again.communicate(timeout=30)
    assert again.returncode == 130, errors
    assert "interrupted, best picture kept" in output
    assert (tmp_path / "x.png").exists()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "nst_tf", "many", *map(str, arguments)], capture_output=True, text=True
    )


def test_worker_processes_make_the_same_pictures_whichever_makes_which(jobs, folders):
    made = {}
    for order in (jobs, jobs[::-1]):
        with worker_processes(2) as executor:
            outcomes = list(stylize_many(order, executor=executor, again=True))
        assert sorted(outcome.number for outcome in outcomes) == [0, 1, 2, 3]
        assert {outcome.status for outcome in outcomes} == {"made"}
        for job in jobs:
            np.testing.assert_array_equal(pixels(job.output), made.setdefault(job.output, pixels(job.output)))


def test_a_worker_that_dies_is_replaced_and_its_jobs_are_made(jobs):
    with worker_processes(1) as executor:
        executor.submit(os._exit, 9)
        outcomes = list(stylize_many(jobs[:2], executor=executor))
    assert [outcome.status for outcome in outcomes] == ["made", "made"]


def test_a_hundred_thousand_jobs_are_planned_in_bounded_memory(folders):
    path = folders / "many.csv"
    with open(path, "w") as file:
        file.write("content,style,output,seed\n")
        for number in range(100_000):
            file.write(f"contents/c{number % 2}.png,styles/s0.png,out/{number}.png,{number}\n")
    plan([])  # imports what it needs
    before = psutil.Process().memory_info().rss
    found = plan(read_jobs(path, features="slim"))
    assert (found.jobs, found.bad) == (100_000, 0)
    assert psutil.Process().memory_info().rss - before < 50e6


def test_an_interrupted_command_goes_on_where_it_was(folders):
    options = ["--content-dir", folders / "contents", "--style-dir", folders / "styles", "-o", folders / "out"]
    options += ["--features", "slim", "--size", 48, "--steps", 40]
    process = subprocess.Popen(
        [sys.executable, "-m", "nst_tf", "many", *map(str, options)], stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not list((folders / "out").glob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert "The same command goes on from there." in said
    again = command(*options)
    assert again.returncode == 0, again.stderr
    assert "skipped" in again.stdout
    assert len(list((folders / "out").glob("*.png"))) == 4


def test_threads_do_not_get_in_each_others_way(jobs):
    many = [*jobs, *(dataclasses.replace(job, seed=1, output=f"{job.output}.1.png") for job in jobs)]
    with ThreadPoolExecutor(2) as executor:
        assert {outcome.status for outcome in stylize_many(many, executor=executor)} == {"made"}
    for job in many:
        alone = run(job)
        np.testing.assert_array_equal(pixels(job.output), np.asarray(np.round(alone.image[0] * 255), np.uint8))


@pytest.mark.skipif(sys.platform == "win32", reason="for a POSIX shell")
@pytest.mark.parametrize("closed", ["<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_run_without_standard_streams_makes_its_picture(files, tmp_path, closed):
    words = [sys.executable, "-m", "nst_tf", "stylize", *map(str, files), "-o", str(tmp_path / "x.png")]
    done = subprocess.run(f"{shlex.join(words)} --features slim --steps 2 {closed}", shell=True, timeout=600)
    assert done.returncode == 0
    assert Image.open(tmp_path / "x.png").size == (64, 48)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_workers_end_when_what_started_them_was_killed(folders):
    options = ["--content-dir", folders / "contents", "--style-dir", folders / "styles", "-o", folders / "out"]
    options += ["--features", "slim", "--size", 48, "--steps", 100_000, "--workers", 2]
    process = subprocess.Popen([sys.executable, "-m", "nst_tf", "many", *map(str, options)])
    deadline, workers = time.monotonic() + 300, []
    while len(workers) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
        workers = [
            child for child in psutil.Process(process.pid).children() if "multiprocessing.spawn" in str(child.cmdline())
        ]
    assert len(workers) == 2
    time.sleep(15)  # by then they work
    process.kill()
    process.wait()
    assert psutil.wait_procs(workers, timeout=30)[1] == []


SCRIPT = """
from nst_tf import pairs, stylize_many, worker_processes
print("begun")
jobs = list(pairs("contents", "styles", "out", features="slim", size=48, steps=2))
with worker_processes(2) as executor:
    print(sorted(outcome.status for outcome in stylize_many(jobs, executor=executor)))
"""


@pytest.mark.parametrize("from_standard_input", [True, False])
def test_a_script_without_a_guard_is_run_once_and_makes_its_pictures(folders, from_standard_input):
    (folders / "script.py").write_text(SCRIPT)
    with open(folders / "script.py") as file:
        done = subprocess.run(
            [sys.executable, "-" if from_standard_input else "script.py"],
            stdin=file,
            cwd=folders,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=600,
        )
    assert done.stdout.split("\n") == ["begun", str(["made"] * 4), ""], done.stderr


FORKING = """
import multiprocessing, sys
import nst_tf
from nst_tf.tools.jobs import pairs
jobs = list(pairs("contents", "styles", "out", features="slim", size=48, steps=2))
content, style = nst_tf.load_image(jobs[0].content), nst_tf.load_image(jobs[0].styles[0])

def alone():
    return nst_tf.stylize(content, style, features="slim", steps=1).status

def listed():
    return next(nst_tf.stylize_many(jobs)).reason

def told(function):
    try:
        return function()
    except ValueError as error:
        return str(error)

for before in (None, alone):  # TensorFlow has started; all of nst_tf has been used
    print(before and before())
    with multiprocessing.get_context("fork").Pool(1) as pool:
        for function in (alone, listed):
            print(pool.apply_async(told, (function,)).get(300))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_forked_after_tensorflow_started_is_told_so_and_does_not_hang(folders):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=folders, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.stdout.count("was forked from one in which TensorFlow had started") == 4, done.stdout + done.stderr
