import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY

from nst_tf.images import save_image
from nst_tf.networks.slim import SLIM_FILE

NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a copy, since building leaves files behind
    shutil.copytree(REPOSITORY / "nst_tf", source / "nst_tf", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, source]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode and "No matching distribution found for setuptools" in built.stderr:
        pytest.skip("pip cannot get setuptools here, which builds the wheel")
    assert built.returncode == 0, built.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_slim_network(wheel):
    with zipfile.ZipFile(wheel) as file:
        assert file.read("nst_tf/networks/slim.npz") == SLIM_FILE.read_bytes()


def test_the_wheel_alone_repaints_a_picture_without_a_network(wheel, pair, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    packages = next((tmp_path / "venv").glob("lib/*/site-packages"))
    # Its dependencies are this environment's, whose own nst_tf is not on this path.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(packages)
    content, style = (save_image(image, tmp_path / name) for image, name in zip(pair, ("c.png", "s.png"), strict=True))
    environment = {**os.environ, **NO_NETWORK, "HOME": str(tmp_path), "KERAS_HOME": str(tmp_path / "keras")}
    environment.pop("PYTHONPATH", None)
    command = [python, "-m", "nst_tf", "stylize", content, style, "-o", "x.png", "--features", "slim", "--steps", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.png").is_file()
    command = [python, "-c", "import nst_tf; print(nst_tf.__file__)"]
    home = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert Path(home).is_relative_to(tmp_path)
