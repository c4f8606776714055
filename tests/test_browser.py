"""Opens notebooks in JupyterLab, and a film, in a real browser, as people do (make test-browser)."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest
from conftest import REPOSITORY

from nst_tf.tools.animations import animate, extract_frames

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SCREENSHOTS = REPOSITORY / "outputs" / "browser"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
LONGEST_RUN_SECONDS = 300
# Between two cells a kernel is idle too, but never for this many looks.
RESTING_LOOKS = 25


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.fail("There is no Chromium here: install it (Debian and Ubuntu: apt-get install chromium).")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own over copies of the notebooks, with small parameters; its address and folder."""
    folder = tmp_path_factory.mktemp("lab")
    for name in ("nst_tf", "images"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "notebooks").mkdir()
    for name in ("00_start_here", "07_optimize"):
        notebook = nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            cell.source = re.sub(r"^SIZE = \d+", "SIZE = 128", cell.source, flags=re.MULTILINE)
            cell.source = re.sub(r"^STEPS = \d+", "STEPS = 60", cell.source, flags=re.MULTILINE)
            cell.source = cell.source.replace('FEATURES = "auto"', 'FEATURES = "slim"')
            if cell.cell_type == "code":  # what is seen later is then of this run
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # Every cell stays in the page, so that the test can see it.
    (settings / "tracker.jupyterlab-settings").write_text(json.dumps({"windowingMode": "none"}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "lab",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ip=127.0.0.1",
    ]
    command += [f"--notebook-dir={folder}", "--IdentityProvider.token=", "--ServerApp.password="]
    environment = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "PYTHONPATH": str(REPOSITORY)}
    with open(folder / "lab.log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(address)
            yield address, folder
        finally:
            server.terminate()
            server.wait(30)


def wait_for(address):
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/api", timeout=2)
            return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError("JupyterLab did not start within a minute.")


def is_idle(address):
    """Return whether no kernel of this JupyterLab is at work."""
    with urllib.request.urlopen(f"{address}/api/kernels", timeout=10) as answer:
        return all(kernel["execution_state"] == "idle" for kernel in json.load(answer))


def restart_and_run_all(page):
    """Click so; again if JupyterLab, which is starting too, lets it pass."""
    for _ in range(3):
        page.click("text=Run >> nth=0")
        page.click(".lm-Menu-itemLabel >> text='Restart Kernel and Run All Cells…'")
        page.click(".jp-Dialog .jp-mod-accept")
        for _ in range(100):
            if page.evaluate(HAS_BEGUN):
                return
            time.sleep(0.3)
    pytest.fail("No cell has run.")


def run_all(browser, lab, name):
    """Open a notebook, run all of it, and return it with the pictures seen in each output, again and again."""
    address, folder = lab
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.goto(f"{address}/lab/workspaces/{name}/tree/notebooks/{name}.ipynb")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    restart_and_run_all(page)
    seen, idle_looks = [], 0
    deadline = time.monotonic() + LONGEST_RUN_SECONDS
    while time.monotonic() < deadline:
        seen.append(page.eval_on_selector_all(".jp-CodeCell", CELL_PICTURES))
        idle_looks = idle_looks + 1 if is_idle(address) else 0
        if idle_looks > RESTING_LOOKS:
            break
        time.sleep(0.3)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    path = folder / "notebooks" / f"{name}.ipynb"
    before = path.stat().st_mtime
    page.click("text=File >> nth=0")
    page.click(".lm-Menu-itemLabel >> text='Save Notebook'")
    for _ in range(60):
        if path.stat().st_mtime > before:
            break
        time.sleep(0.5)
    time.sleep(1)
    page.close()
    return nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4), seen


HAS_BEGUN = "[...document.querySelectorAll('.jp-InputArea-prompt')].some(prompt => /[0-9*]/.test(prompt.textContent))"
CELL_PICTURES = "cells => cells.map(cell => [...cell.querySelectorAll('.jp-OutputArea img')].map(i => i.src.length))"


@pytest.mark.parametrize("name", ["00_start_here", "07_optimize"])
def test_notebook_runs_in_jupyterlab_and_its_live_picture_changes(browser, lab, name):
    notebook, seen = run_all(browser, lab, name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    errors = [output for cell in code for output in cell.outputs if output.output_type == "error"]
    assert errors == []
    views = {}
    for cells in seen:
        for index, pictures in enumerate(cells):
            if len(pictures) == 1:
                views.setdefault(index, set()).add(pictures[0])
    assert max(map(len, views.values())) >= 3, "no picture changed while its cell ran"


def test_a_film_with_sound_plays_to_its_end(browser, tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    sources = ["-f", "lavfi", "-i", "testsrc=size=67x49:rate=8:duration=1", "-f", "lavfi", "-i", "sine=duration=1"]
    subprocess.run([ffmpeg, "-v", "error", *sources, "-pix_fmt", "yuv444p", tmp_path / "clip.mp4"], check=True)
    frames = sorted(extract_frames(tmp_path / "clip.mp4", tmp_path).glob("*.png"))
    animate(frames, tmp_path / "film.mp4", like=tmp_path / "clip.mp4")
    (tmp_path / "page.html").write_text("<video src=film.mp4 muted autoplay></video>")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("document.querySelector('video').ended", timeout=60_000)
    facts = "v => [v.videoWidth, v.videoHeight, v.webkitAudioDecodedByteCount > 0, v.duration]"
    *seen, duration = page.eval_on_selector("video", facts)
    page.close()
    assert seen == [66, 48, True]
    assert duration == pytest.approx(1, abs=0.1)
