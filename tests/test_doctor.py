import os
import subprocess
import sys

import pytest

from nst_tf.tools import doctor
from nst_tf.tools.doctor import examine


def run_doctor(cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "nst_tf", "doctor"],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=200,
    )


def test_doctor_finds_nothing_wrong_where_the_tests_run(tmp_path):
    done = run_doctor(tmp_path, KERAS_HOME=str(tmp_path / "keras"))
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("Python 3.", "tensorflow 2.", "precision", "GiB of memory free", "VGG19", "can be written to"):
        assert part in done.stdout
    assert "note    ImageNet weights of VGG19 not in the cache." in done.stdout
    assert "problem" not in done.stdout


def test_doctor_works_where_tensorflow_is_broken(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise ImportError('a library is missing')")
    done = run_doctor(tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "problem TensorFlow does not start: ImportError: a library is missing" in done.stdout
    assert "-> pip install" in done.stdout
    assert "can be written to" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def no_tensorflow(monkeypatch):
    monkeypatch.setattr(doctor, "_tensorflow", lambda: iter(()))


def test_doctor_says_whether_onednn_is_on_and_what_turned_it_off(monkeypatch):
    assert doctor._onednn(True).level == "ok"
    for off in ("0", "false"):
        monkeypatch.setenv(doctor.ONEDNN_VARIABLE, off)
        assert f"as {doctor.ONEDNN_VARIABLE}={off} says" in str(doctor._onednn(False))
    monkeypatch.setenv(doctor.ONEDNN_VARIABLE, "1")
    assert "does not have" in str(doctor._onednn(False))
    monkeypatch.delenv(doctor.ONEDNN_VARIABLE)
    assert doctor._onednn(False).remedy == ""


def test_doctor_names_missing_and_old_packages_with_their_remedy(monkeypatch, no_tensorflow):
    wanted = ["surely-not-there>=1.0", "numpy>=999", "pytest>=1 ; extra == 'test'"]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: wanted)
    problems = [str(finding) for finding in examine() if finding.level == "problem"]
    assert len(problems) == 2
    assert "pip install 'surely-not-there>=1.0'" in problems[0]
    assert "older than 999" in problems[1]


def test_doctor_sees_damaged_weights_and_folders_that_cannot_be_written(monkeypatch, no_tensorflow, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    file = tmp_path / "models" / doctor.IMAGENET["vgg19"].name
    file.parent.mkdir()
    file.write_bytes(b"half")
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    found = [str(finding) for finding in examine(str(not_a_folder))]
    assert any("VGG19 in the cache are damaged" in text for text in found)
    assert any(text.startswith("problem") and "cannot be written to" in text for text in found)
    assert file.exists()


def test_doctor_itself_does_not_need_tensorflow():
    code = "import sys; import nst_tf.tools.doctor; print('tensorflow' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
