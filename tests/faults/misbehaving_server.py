"""A local server with faults on demand, which stands in for the one that publishes VGG19's weights."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace

from nst_tf.networks.weights import IMAGENET

CONTENT = bytes(range(256)) * 400
HALF = len(CONTENT) // 2


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file, with the faults that are asked for, one a request."""

    def do_GET(self):
        server = self.server
        fault = server.faults.pop(0) if server.faults else None
        server.asked.append(fault)
        if fault == "silent":
            server.go_on.wait(10)
            return
        if fault == "together":
            server.together.wait(10)
        if fault in (404, 503):
            self.send_error(fault)
            return
        if fault == "redirect":
            self.send_response(302)
            self.send_header("Location", "/elsewhere/vgg19.h5")
            self.end_headers()
            return
        content = b"wrong" * (len(CONTENT) // 5) if fault == "wrong" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "drip":
            for byte in content:
                self.wfile.write(bytes([byte]))
                if server.go_on.wait(0.05):
                    return
        self.wfile.write(content[:HALF] if fault in ("cut", "stall") else content)
        self.wfile.flush()
        if fault == "stall":
            server.go_on.wait(10)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def misbehaving() -> Iterator[http.server.ThreadingHTTPServer]:
    """Serve `CONTENT` as Keras's VGG19 until the end of the with block; `faults` are what goes wrong, in turn."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.faults = [], []
    server.go_on, server.together = threading.Event(), threading.Barrier(2)
    published = IMAGENET["vgg19"]["keras"]
    IMAGENET["vgg19"]["keras"] = replace(
        published,
        url=f"http://127.0.0.1:{server.server_port}/vgg19.h5",
        digest=f"md5:{hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()}",
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        IMAGENET["vgg19"]["keras"] = published
        server.go_on.set()
        server.shutdown()
        server.server_close()
