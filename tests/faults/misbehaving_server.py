"""A local server with faults on demand, which stands in for the one that publishes VGG19's weights."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace

from nst_tf.engine import weights

CONTENT = bytes(range(256)) * 400
HALF = len(CONTENT) // 2


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file, with the faults that are asked for, one a request."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        fault = server.faults.pop(0) if server.faults else None
        if fault in (404, 503):
            self.send_error(fault)
            return
        if fault == "redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere/vgg19.h5")
            self.end_headers()
            return
        content, start = server.content, 0
        if self.headers.get("Range") and server.sends_parts:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = HALF if fault in ("cut", "stall") else len(content)
        self.wfile.write(b"wrong" * (len(content) // 5) if fault == "wrong" else content[start:end])
        self.wfile.flush()
        if fault == "stall":
            server.go_on.wait(10)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def misbehaving() -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve `CONTENT` as VGG19's weights until the end of the with block; `faults` are what goes wrong, in turn."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.content, server.faults, server.sends_parts = [], CONTENT, [], True
    server.go_on = threading.Event()
    published = weights.IMAGENET["vgg19"]
    weights.IMAGENET["vgg19"] = replace(
        published, url=f"http://127.0.0.1:{server.server_port}/vgg19.h5", md5=hashlib.md5(CONTENT).hexdigest()
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        weights.IMAGENET["vgg19"] = published
        server.go_on.set()
        server.shutdown()
        server.server_close()
