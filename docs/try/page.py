"""Assemble the page in a folder, and serve it: python page.py FOLDER [PORT] (`make page`).

It needs Node.js for esbuild; nothing else in the project does.
"""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "notebooks"))
import set_links

MODULES = HERE / "node_modules"
WASM = MODULES / "@tensorflow" / "tfjs-backend-wasm" / "dist"
COPIED = (
    HERE / "style.css",
    ROOT / "nst_tf" / "networks" / "slim.npz",
    ROOT / "images" / "content" / "pagoda.jpg",
    ROOT / "images" / "style" / "starry_night.jpg",
    WASM / "tfjs-backend-wasm.wasm",
    WASM / "tfjs-backend-wasm-simd.wasm",
    WASM / "tfjs-backend-wasm-threaded-simd.wasm",
)
BUNDLING = ("--bundle", "--splitting", "--format=esm", "--target=es2022", "--minify", "--legal-comments=linked")


def assemble(folder: Path, *, also: tuple[Path, ...] = ()) -> None:
    """Write the page to a folder, with all that it loads.

    Args:
        folder: Made if missing; what stands in it is replaced file by file.
        also: Other JavaScript files to bundle beside the page's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for former in (*folder.glob("chunk-*.js*"), *folder.glob("dist-*.js*")):  # their names change with what is in them
        former.unlink()
    if not MODULES.is_dir():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=HERE, check=True)
    entries = [HERE / "page.js", HERE / "painter.js", *also]
    # Node's own modules, which TensorFlow.js asks for only where there is no browser.
    outside = [f"--external:{name}" for name in ("fs", "path", "os", "util", "crypto", "worker_threads", "perf_hooks")]
    places = [f"--outdir={folder}", "--entry-names=[name]"]
    command = [MODULES / ".bin" / "esbuild", *entries, *BUNDLING, *outside, *places]
    subprocess.run([*command, "--log-level=warning"], env={**os.environ, "NODE_PATH": str(MODULES)}, check=True)
    for file in COPIED:
        shutil.copy(file, folder)
    html = (HERE / "index.html").read_text(encoding="utf-8")
    (folder / "index.html").write_text(with_links(html, repository()), encoding="utf-8")


def repository() -> str:
    """Return the address that `make links` wrote into pyproject.toml, else that of git's remote; empty if neither."""
    written = re.search(r'^Repository = "(.*)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    if written:
        return written[1]
    return set_links.address(set_links.remote())


def with_links(html: str, address: str) -> str:
    """Return the page with its links pointing at the repository's address; without them if that is empty."""
    return html.replace("REPOSITORY", address) if address else re.sub(r' <a href="REPOSITORY.*?</a>', "", html)


class Isolated(http.server.SimpleHTTPRequestHandler):
    """Serves files with the headers that make a browser isolate the page, so that WebAssembly may use threads."""

    def end_headers(self) -> None:
        """Add the headers, and have the browser ask again whether a file has changed."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def server(folder: Path, port: int = 0, *, handler: type = Isolated) -> http.server.ThreadingHTTPServer:
    """Return a server of a folder on 127.0.0.1; port 0 is any that is free."""
    return http.server.ThreadingHTTPServer(("127.0.0.1", port), functools.partial(handler, directory=str(folder)))


def main(folder: str, port: str = "") -> None:
    """Assemble the page, and serve it if there is a port."""
    assemble(Path(folder))
    if not port:
        return
    with server(Path(folder), int(port)) as serving:
        print(f"The page is at http://127.0.0.1:{serving.server_port}/ (Ctrl-C ends it).", flush=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main(*sys.argv[1:])
