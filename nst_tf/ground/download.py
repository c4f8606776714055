"""Fetching what an http or https address answers, within bounds."""

from __future__ import annotations

import http.client
import string
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

from nst_tf.ground.checks import shown

DOWNLOAD_LIMIT_BYTES = 64 * 2**20
DOWNLOAD_LIMIT_SECONDS = 60
# How long a server may say nothing, at first or on the way.
CONNECT_LIMIT_SECONDS = 10


def fetch(url: str) -> bytes:
    """Return an image from an http or https address, of at most 64 MiB and within a minute, or raise ValueError."""
    received = bytearray()
    try:
        for part in stream(url, seconds=DOWNLOAD_LIMIT_SECONDS):
            received += part
            if len(received) > DOWNLOAD_LIMIT_BYTES:
                raise ValueError(
                    f"{shown(url)} is larger than {DOWNLOAD_LIMIT_BYTES // 2**20} MiB. Give a smaller image."
                )
    except OSError as error:
        advice = "Check the address and the connection, or download the image by hand and give its path."
        if url.startswith("data:"):
            advice = "Give the bytes that it holds: base64.b64decode(address.partition(',')[2])."
        raise ValueError(f"Cannot load {shown(url)}: {error}. {advice}") from error
    return bytes(received)


def stream(url: str, *, seconds: float) -> Iterator[bytes]:
    """Yield what an http or https address answers, part by part.

    Raises:
        TimeoutError: If there is no answer, or not all of it came within `seconds`, however slowly it drips.
        ConnectionError: If it broke off on the way, so that another attempt may help.
        OSError: If it fails for another reason.  Each message is half a sentence.
    """
    deadline, received, limit = time.monotonic() + seconds, 0, min(seconds, CONNECT_LIMIT_SECONDS)
    try:
        ascii_url = urllib.parse.quote(url, safe=string.punctuation)  # as browsers write what is not ASCII
        if not _is_web(url):
            raise ValueError("only http and https addresses are fetched")
        request = urllib.request.Request(ascii_url, headers={"User-Agent": "nst_tf (a style transfer tutorial)"})
        with urllib.request.build_opener(_WebOnly).open(request, timeout=limit) as response:
            while part := response.read1(2**16):
                received += len(part)
                yield part
                if time.monotonic() > deadline:
                    raise TimeoutError
            if response.length:  # which `read1`, unlike `read`, does not look at
                raise ConnectionError
    except urllib.error.HTTPError as error:
        raise OSError(f"it answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: the address makes no sense
        reason = getattr(error, "reason", error)
        if received and time.monotonic() > deadline:
            raise TimeoutError(f"only a part came within {seconds:.3g} s") from error
        if received:
            raise ConnectionError("the connection broke off") from error
        if isinstance(reason, TimeoutError):
            raise TimeoutError(f"no answer within {limit:.3g} s") from error
        raise OSError(getattr(reason, "strerror", None) or str(reason)) from error


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https only; Python's own handler would follow to ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not _is_web(newurl):
            raise ValueError(f"it leads to {shown(newurl)}, and only http and https addresses are fetched")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))
