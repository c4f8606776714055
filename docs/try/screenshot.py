"""Make the README's picture of the page, painted: python docs/try/screenshot.py images/try_page.jpg.

It needs what `make page` and `make test-browser` need.
"""

import shutil
import sys
import tempfile
import threading
from pathlib import Path

import page as page_files
from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1280, 870
SHOWN = (900, 900 * HEIGHT // WIDTH)
LONGEST_RUN_MS = 900_000


def main(path: str) -> None:
    """Paint the bundled pair at 400 pixels, and write what the page then looks like."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_files.assemble(Path(folder))
        server = page_files.server(Path(folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"http://127.0.0.1:{server.server_port}/?backend=wasm")
        page.wait_for_selector("#paint:enabled", timeout=LONGEST_RUN_MS)
        page.eval_on_selector("#size", "size => { size.value = 400; }")
        page.click("#paint")
        page.wait_for_function(
            "() => document.querySelector('#status').textContent.startsWith('Done')", timeout=LONGEST_RUN_MS
        )
        page.mouse.move(0, 0)
        page.screenshot(path=Path(folder) / "page.png")
        with Image.open(Path(folder) / "page.png") as picture:
            small = picture.convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)
            small.save(path, quality=85)
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
