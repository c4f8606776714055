"""The published ImageNet weights: found in Keras's own cache, or downloaded into it."""

from __future__ import annotations

import hashlib
import http
import http.client
import logging
import os
import socket
import time
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass
from pathlib import Path

from nst_tf.engine.files import remove_leftovers, written_whole

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
CONNECT_LIMIT_SECONDS = 10
DOWNLOAD_LIMIT_SECONDS = 900
ATTEMPTS = 4
PAUSE_SECONDS = 1.0
FORGET_FAILURE_SECONDS = 300

logger = logging.getLogger(__name__)
# When the download of a URL last failed in this process, and what was said.
_failures: dict[str, tuple[float, str]] = {}


class WeightsUnavailableError(ValueError):
    """The pretrained weights are neither on disk nor to be had from the network."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights: its name, where it is, its md5 and its size."""

    name: str
    url: str
    md5: str
    megabytes: int


IMAGENET = {
    network: WeightsFile(name, f"{BASE_URL}/{network}/{name}", md5, megabytes)
    for network, name, md5, megabytes in (
        ("vgg19", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", "253f8cb515780f3b799900260a226db6", 80),
        ("vgg16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc", 59),
    )
}


def cache_folder() -> Path:
    """Return the folder in which Keras keeps downloaded weights (`KERAS_HOME` moves it)."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def imagenet_weights(network: str) -> Path:
    """Return the path of a network's ImageNet weights, downloading them if they are not in the cache.

    A file in the cache is never deleted, only replaced by one that is whole; any number of processes may do this at
    once.  Where a download has failed, it is not tried again for some minutes, so that a notebook without a network
    need not wait in every cell.

    Args:
        network: A key of `IMAGENET`.

    Raises:
        WeightsUnavailableError: If the file is not there and cannot be downloaded; the message says the URL, the
            file, its md5 and where to put it by hand.
    """
    wanted = IMAGENET[network]
    path = cache_folder() / wanted.name
    if state_of_cache(network) == "whole":
        remove_leftovers(path)
        return path
    failed = _failures.get(wanted.url)
    if failed and time.monotonic() - failed[0] < FORGET_FAILURE_SECONDS:
        raise WeightsUnavailableError(failed[1])
    try:
        with written_whole(path) as temporary:
            _download(wanted, temporary)
    except (OSError, http.client.HTTPException) as error:
        message = (
            f"The ImageNet weights of {network.upper()} are not in the cache and could not be downloaded "
            f"({getattr(error, 'reason', error)}). Download {wanted.url} by hand (md5 {wanted.md5}) and put it at "
            f"{_shown(path)}, or use features='offline', which needs no weights."
        )
        _failures[wanted.url] = (time.monotonic(), message)
        raise WeightsUnavailableError(message) from error
    return path


def network_for_auto() -> str:
    """Return the word that features="auto" comes to here: "vgg19", or with a warning "offline"."""
    try:
        imagenet_weights("vgg19")
    except WeightsUnavailableError as error:
        warn_of_going_offline(error, stacklevel=3)
        return "offline"
    return "vgg19"


def warn_of_going_offline(error: WeightsUnavailableError, *, stacklevel: int) -> None:
    """Warn that offline features take the place of the pretrained ones, and why; `stacklevel` as in `warnings.warn`."""
    warnings.warn(f"Going on with the offline features. {error}", stacklevel=stacklevel)


def state_of_cache(network: str) -> str:
    """Return "whole", "damaged" or "missing" for a network's file in the cache."""
    wanted = IMAGENET[network]
    path = cache_folder() / wanted.name
    if not path.is_file():
        return "missing"
    return "whole" if md5_of(path) == wanted.md5 else "damaged"


def _shown(path: Path) -> str:
    """Return the path with ~ for the home folder, as people write it."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def md5_of(path: Path) -> str:
    """Return the md5 of a file, as hexadecimal digits."""
    digest = hashlib.md5()
    with open(path, "rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _download(wanted: WeightsFile, path: Path) -> None:
    """Download a file, going on where the connection broke off, until it is whole or it is no use to try again."""
    deadline = time.monotonic() + DOWNLOAD_LIMIT_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _receive(wanted, path, deadline)
            received = md5_of(path)
            if received == wanted.md5:
                return
            path.unlink()  # going on from wrong bytes would never come to the right ones
            raise OSError(f"the file received has md5 {received}")
        except (OSError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS or time.monotonic() > deadline or not _may_pass(error):
                raise
            logger.info("The download broke off (%s); trying again.", getattr(error, "reason", error))
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))


def _receive(wanted: WeightsFile, path: Path, deadline: float) -> None:
    """Add to a file what is missing of it, or all of it from a server that cannot send parts."""
    have = path.stat().st_size if path.exists() else 0
    request = urllib.request.Request(wanted.url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=CONNECT_LIMIT_SECONDS) as response:
        logger.info("Downloading %s, %d MB; this happens once.", wanted.name, wanted.megabytes)
        part = response.status == http.HTTPStatus.PARTIAL_CONTENT
        length = response.headers.get("Content-Length", "")
        promised = int(length) if length.isdecimal() else 0
        with open(path, "ab" if part else "wb") as file:
            received = 0
            while chunk := response.read1(2**20):
                file.write(chunk)
                received += len(chunk)
                if promised and 10 * received // promised > 10 * (received - len(chunk)) // promised:
                    logger.info("%d %% downloaded", 100 * received // promised)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the download took longer than {DOWNLOAD_LIMIT_SECONDS} s")
        if promised and received < promised:
            raise ConnectionError(f"the connection broke off after {received} of {promised} bytes")


def _may_pass(error: Exception) -> bool:
    """Whether trying again may help: not if the server says that there is no such file, or there is no network."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500 or error.code == http.HTTPStatus.TOO_MANY_REQUESTS
    reason = getattr(error, "reason", error)
    return not isinstance(reason, (socket.gaierror, ConnectionRefusedError, PermissionError))
