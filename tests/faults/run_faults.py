"""Real faults, by the hundred: `make test-faults` prints what was survived and what was lost.

Survived is success or one clear error.  Lost is anything else: a traceback, a hang, a half file, a temporary file left
behind, or a wrong picture without a word.  The exit status is 1 if anything was lost.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
from misbehaving_server import CONTENT, misbehaving

from nst_tf.engine.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from nst_tf.ground.files import atomic_write
from nst_tf.images import save_image
from nst_tf.networks import weights
from nst_tf.pictures.reading import read_pixels
from nst_tf.pictures.settings import settings_of

MUTATIONS = 500
KILLS = 60
KILLS_OF_RUNS = 5
DOWNLOADS = 60
PAIRS_OF_DOWNLOADS = 10
SIDE = 64
SETTINGS = {"recipe": "studio", "changes": {}, "features": "slim", "network": "slim", "solver": "fast"}
SETTINGS |= {"steps": 3, "seed": 0, "precision": "float32", "size": [64, 64]}
SERVER_FAULTS = ("cut", "stall", "wrong", "redirect", "silent", 404, 503, None)
# Fetches the weights into the cache that KERAS_HOME names.
DOWNLOADER = """
import sys
from dataclasses import replace
from nst_tf.networks import weights
keras = weights.IMAGENET["vgg19"]["keras"]
weights.IMAGENET["vgg19"]["keras"] = replace(keras, url=sys.argv[1], digest=sys.argv[2])
weights.find_imagenet_weights("vgg19", source="keras")
"""
# Writes checkpoints and pictures one after the other, each of one gray, until it is killed.
WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from run_faults import checkpoint_of, picture_of, save_image, write_checkpoint
folder, number = Path(sys.argv[1]), 0
print("ready", flush=True)
while True:
    write_checkpoint(folder / "run.nst", checkpoint_of(number))
    save_image(picture_of(number), folder / "picture.png")
    number += 1
"""


def checkpoint_of(number: int) -> Checkpoint:
    """Return a checkpoint all of whose parts tell its number."""
    variables = {"best_image": np.full((1, 256, 256, 3), number, np.float32), "step": np.int32(number)}
    state = {"size": -1, "precision": "float32", "seconds": float(number)}
    return Checkpoint({"seed": str(number)}, state, np.full((4, 4), number, np.float32), variables)


def picture_of(number: int) -> np.ndarray:
    """Return a picture of one gray that tells its number."""
    return np.full((1, SIDE, SIDE, 3), (number % 256) / 255, np.float32)


def is_whole(checkpoint: Checkpoint) -> bool:
    """Whether all parts of a checkpoint tell the same number."""
    number = int(checkpoint.variables["step"])
    return (
        (checkpoint.variables["best_image"] == number).all()
        and (checkpoint.history == number).all()
        and checkpoint.settings["seed"] == str(number)
    )


def killed_while_writing(folder: Path) -> tuple[int, int]:
    """Kill a process that writes all the time, at random moments; what stands there must be whole."""
    generator, lost = np.random.default_rng(0), 0
    for _ in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(Path(__file__).parent)], stdout=subprocess.PIPE, text=True
        )
        writer.stdout.readline()
        time.sleep(generator.uniform(0.02, 0.25))
        writer.kill()
        writer.wait()
        try:
            if (folder / "run.nst").exists():
                lost += not is_whole(read_checkpoint(folder / "run.nst"))
            if (folder / "picture.png").exists():
                lost += np.ptp(read_pixels(folder / "picture.png")) != 0
        except ValueError:
            lost += 1
    write_checkpoint(folder / "run.nst", checkpoint_of(0))
    save_image(picture_of(0), folder / "picture.png")
    lost += sorted(path.name for path in folder.iterdir()) != ["picture.png", "run.nst"]
    return KILLS, lost


def killed_runs(folder: Path) -> tuple[int, int]:
    """Kill real runs at random moments, and resume each; the last is ended by SIGTERM and must leave its picture."""
    generator, lost = np.random.default_rng(1), 0
    content, style = folder / "content.png", folder / "style.png"
    for path in (content, style):
        save_image(generator.uniform(size=(1, SIDE, SIDE, 3)), path)
    command = [sys.executable, "-m", "nst_tf", "stylize", str(content), str(style), "-o", str(folder / "out.png")]
    command += ["--features", "slim", "--steps", "100000", "--checkpoint", str(folder / "run.nst")]
    step = 0
    for attempt in range(KILLS_OF_RUNS + 1):
        resume = ["--resume", str(folder / "run.nst")] if (folder / "run.nst").exists() else []
        run = subprocess.Popen([*command, *resume], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while latest_step(folder / "run.nst") <= step and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.1)
        time.sleep(generator.uniform(0, 2))
        if attempt < KILLS_OF_RUNS:
            run.kill()
            run.communicate()
        else:
            run.send_signal(signal.SIGTERM)
            _, errors = run.communicate(timeout=60)
            lost += run.returncode != 130 or "Traceback" in errors or not (folder / "out.png").exists()
        lost += latest_step(folder / "run.nst") <= step
        step = latest_step(folder / "run.nst")
    return KILLS_OF_RUNS + 1, lost


def latest_step(path: Path) -> int:
    """Return the step of a checkpoint, -1 if there is none; a damaged one counts as none."""
    with contextlib.suppress(ValueError):
        return int(read_checkpoint(path).variables["step"])
    return -1


def full_disk(folder: Path) -> tuple[int, int]:
    """Write pictures and checkpoints onto a file system of a few kilobytes until it is full, and then over it."""
    disk = folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True).returncode:
        raise NotImplementedError("mounting a small file system needs root")
    tries = lost = 0
    generator = np.random.default_rng(2)
    try:
        for number in range(60):
            tries += 1
            before = sorted(path.name for path in disk.iterdir())
            path = disk / f"{number % 40}.png"
            old = path.read_bytes() if path.exists() else None
            try:
                save_image(generator.uniform(size=(1, SIDE, SIDE, 3)), path)
            except OSError:
                lost += (path.read_bytes() if path.exists() else None) != old
                lost += sorted(path.name for path in disk.iterdir()) != before
            else:
                read_pixels(path)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return tries, lost


def mutated(whole: bytes, check: Callable[[bytes], None]) -> tuple[int, int]:
    """Flip bits of a file, cut it, turn parts round, and hand it to a reader; all but success or ValueError is lost."""
    generator, lost = np.random.default_rng(3), 0
    for number in range(MUTATIONS):
        data = bytearray(whole)
        first, second = sorted(generator.integers(0, len(data), 2))
        if number % 4 == 0:
            data = data[:first]
        elif number % 4 == 1:
            data[first:second] = data[first:second][::-1]
        else:
            for place in generator.integers(0, len(data), 1 + number % 5):
                data[place] ^= 1 << int(generator.integers(8))
        try:
            check(bytes(data))
        except ValueError:
            pass
        except Exception as error:
            print(f"    {type(error).__name__}: {error}")
            lost += 1
    return MUTATIONS, lost


def saved(suffix: str) -> bytes:
    """Return the bytes of a picture with settings inside."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    picture = np.stack([rows, columns, rows * columns], axis=-1).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = save_image(picture, Path(folder) / f"x{suffix}", settings=SETTINGS)
        return path.read_bytes()


def read_picture(data: bytes) -> None:
    """Read a picture; what comes back must be one."""
    pixels = read_pixels(data)
    if pixels.ndim != 3 or not np.isfinite(pixels).all():
        raise AssertionError("no picture came back")


def read_by_path(reader: Callable[[Path], object], suffix: str) -> Callable[[bytes], None]:
    """Return a check that writes data to a file and reads it."""

    def check(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"x{suffix}"
            path.write_bytes(data)
            reader(path)

    return check


def read_whole_checkpoint(path: Path) -> None:
    """Read a checkpoint; zip's checksums must have seen every change to its arrays."""
    if not is_whole(read_checkpoint(path)):
        raise AssertionError("a changed checkpoint was read without a word")


def whole_checkpoint() -> bytes:
    """Return the bytes of a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder) / "x.nst", checkpoint_of(7))
        return (Path(folder) / "x.nst").read_bytes()


def failing_writers(folder: Path) -> tuple[int, int]:
    """Let the writing of a file fail in its middle; what stood there must stay, and nothing else."""
    lost, target = 0, folder / "kept.txt"
    target.write_text("kept")
    for number in range(100):
        with contextlib.suppress(RuntimeError), atomic_write(target) as temporary:
            temporary.write_text("x" * number)
            raise RuntimeError
        lost += target.read_text() != "kept" or [path.name for path in folder.iterdir()] != ["kept.txt"]
    return 100, lost


def bad_network(folder: Path) -> tuple[int, int]:
    """Download from a server that cuts off, stalls, sends wrong bytes, redirects and refuses, in random succession."""
    generator, lost = np.random.default_rng(4), 0
    with misbehaving() as server, patch("nst_tf.ground.download.CONNECT_LIMIT_SECONDS", 0.5):
        for number in range(DOWNLOADS):
            os.environ["KERAS_HOME"] = str(folder / str(number))
            weights._failures.clear()
            server.faults = [SERVER_FAULTS[index] for index in generator.integers(0, len(SERVER_FAULTS), 5)]
            try:
                lost += weights.find_imagenet_weights("vgg19", source="keras").path.read_bytes() != CONTENT
            except weights.WeightsUnavailableError:
                pass
            except Exception as error:
                print(f"    {type(error).__name__}: {error}")
                lost += 1
            left = list(weights.cache_folder().iterdir()) if weights.cache_folder().exists() else []
            lost += any(path.read_bytes() != CONTENT for path in left) or len(left) > 1
    return DOWNLOADS, lost


def two_downloads(folder: Path) -> tuple[int, int]:
    """Let two processes fetch the same file into one cache; in every other try one of them is killed on the way."""
    generator, lost = np.random.default_rng(5), 0
    with misbehaving() as server:
        wanted = weights.IMAGENET["vgg19"]["keras"]
        for number in range(PAIRS_OF_DOWNLOADS):
            os.environ["KERAS_HOME"] = str(folder / str(number))
            server.faults = ["cut", "cut"]
            command = [sys.executable, "-c", DOWNLOADER, wanted.url, wanted.digest]
            first, second = (subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2))
            if number % 2:
                time.sleep(generator.uniform(0.2, 1.5))
                first.kill()
            first.wait(60)
            lost += second.wait(60) != 0 or weights.state_of_cache("vgg19") != "exact"
            subprocess.run(command, check=True)
            lost += [path.name for path in weights.cache_folder().iterdir()] != [wanted.name]
    return PAIRS_OF_DOWNLOADS, lost


def main() -> int:
    """Try every fault and print the table."""
    faults: dict[str, Callable[[Path], tuple[int, int]]] = {
        "killed while writing": killed_while_writing,
        "runs killed and resumed": killed_runs,
        "writing that fails": failing_writers,
        "disk full": full_disk,
        "download over a bad network": bad_network,
        "two downloads at once": two_downloads,
        "PNG damaged": lambda folder: mutated(saved(".png"), read_picture),
        "JPEG damaged": lambda folder: mutated(saved(".jpg"), read_picture),
        "WebP damaged": lambda folder: mutated(saved(".webp"), read_picture),
        "settings in a PNG damaged": lambda folder: mutated(saved(".png"), read_by_path(settings_of, ".png")),
        "checkpoint damaged": lambda folder: mutated(whole_checkpoint(), read_by_path(read_whole_checkpoint, ".nst")),
    }
    print(f"{'fault':28}{'tries':>7}{'survived':>10}{'lost':>6}{'seconds':>9}")
    any_lost = False
    for name, fault in faults.items():
        begun = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                tries, lost = fault(Path(folder))
            except NotImplementedError as reason:
                print(f"{name:28}not tried: {reason}")
                continue
        any_lost |= lost > 0
        print(f"{name:28}{tries:7}{tries - lost:10}{lost:6}{time.perf_counter() - begun:9.1f}", flush=True)
    return 1 if any_lost else 0


if __name__ == "__main__":
    sys.exit(main())
