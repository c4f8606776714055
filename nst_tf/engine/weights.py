"""The published ImageNet weights: found in Keras's own cache, or downloaded into it."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from nst_tf.engine.files import written_whole

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
CONNECT_LIMIT_SECONDS = 10
DOWNLOAD_LIMIT_SECONDS = 900


class WeightsUnavailableError(ValueError):
    """The pretrained weights are neither on disk nor to be had from the network."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights: its name, where it is, and its md5."""

    name: str
    url: str
    md5: str


IMAGENET = {
    network: WeightsFile(name, f"{BASE_URL}/{network}/{name}", md5)
    for network, name, md5 in (
        ("vgg19", "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5", "253f8cb515780f3b799900260a226db6"),
        ("vgg16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
    )
}


def cache_folder() -> Path:
    """Return the folder in which Keras keeps downloaded weights (`KERAS_HOME` moves it)."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def imagenet_weights(network: str) -> Path:
    """Return the path of a network's ImageNet weights, downloading them if they are not in the cache.

    Args:
        network: A key of `IMAGENET`.

    Raises:
        WeightsUnavailableError: If the file is not there and cannot be downloaded; the message says the URL, the
            file, its md5 and where to put it by hand.
    """
    wanted = IMAGENET[network]
    path = cache_folder() / wanted.name
    if path.is_file() and md5_of(path) == wanted.md5:
        return path
    try:
        with written_whole(path) as temporary:
            _download(wanted.url, temporary)
            received = md5_of(temporary)
            if received != wanted.md5:
                raise OSError(f"the file received has md5 {received}")
    except (OSError, http.client.HTTPException) as error:
        raise WeightsUnavailableError(
            f"The ImageNet weights of {network.upper()} are not in the cache and could not be downloaded "
            f"({getattr(error, 'reason', error)}). Download {wanted.url} by hand (md5 {wanted.md5}) and put it at "
            f"{_shown(path)}, or use features='offline', which needs no weights."
        ) from error
    return path


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


def _download(url: str, path: Path) -> None:
    deadline = time.monotonic() + DOWNLOAD_LIMIT_SECONDS
    with urllib.request.urlopen(url, timeout=CONNECT_LIMIT_SECONDS) as response, open(path, "wb") as file:
        while part := response.read1(2**20):
            file.write(part)
            if time.monotonic() > deadline:
                raise TimeoutError(f"the download took longer than {DOWNLOAD_LIMIT_SECONDS} s")
