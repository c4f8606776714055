"""Fetching a picture from an address, within bounds."""

from __future__ import annotations

import http.client
import string
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

DOWNLOAD_LIMIT_BYTES = 64 * 2**20
DOWNLOAD_LIMIT_SECONDS = 60
CONNECT_LIMIT_SECONDS = 10


def fetch(url: str) -> bytes:
    """Return what an http or https address answers, of at most 64 MiB and within a minute.

    Raises:
        ValueError: If it cannot be had; the message says why and what to do.
    """
    advice = "Check the address and the connection, or download the picture by hand and give its path."
    received = bytearray()
    try:
        for part in stream(url, seconds=DOWNLOAD_LIMIT_SECONDS):
            received += part
            if len(received) > DOWNLOAD_LIMIT_BYTES:
                raise ValueError(f"{url!r} is larger than {DOWNLOAD_LIMIT_BYTES // 2**20} MiB. Give a smaller picture.")
    except urllib.error.HTTPError as error:
        raise ValueError(f"{url!r} answered {error.code} {error.reason}. {advice}") from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise ValueError(f"Cannot load {url!r}: {getattr(error, 'reason', error)}. {advice}") from error
    return bytes(received)


def stream(url: str, *, seconds: float) -> Iterator[bytes]:
    """Yield what an address answers, part by part; TimeoutError after so many seconds, however slowly it drips."""
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"Cannot load {url!r}: only http and https addresses are fetched.")
    deadline = time.monotonic() + seconds
    ascii_url = urllib.parse.quote(url, safe=string.punctuation)  # as browsers write what is not ASCII
    request = urllib.request.Request(ascii_url, headers={"User-Agent": "nst_tf (a style transfer tutorial)"})
    with urllib.request.build_opener(_WebOnly).open(request, timeout=CONNECT_LIMIT_SECONDS) as response:
        while part := response.read1(2**16):
            yield part
            if time.monotonic() > deadline:
                raise TimeoutError(f"only a part came within {seconds:g} s")


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Refuses to be redirected to anything but http and https; Python's own handler would follow to ftp."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if not newurl.lower().startswith(("http://", "https://")):
            raise ValueError(f"{req.full_url!r} leads to {newurl!r}; only http and https addresses are fetched.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
