import subprocess
import sys

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

PICTURES = sorted((REPOSITORY / "images").glob("*/*.jpg"))


def test_there_are_contents_and_styles_and_the_readme_names_each():
    folders = [path.parent.name for path in PICTURES]
    assert folders.count("content") >= 2 and folders.count("style") >= 5
    readme = (REPOSITORY / "images" / "README.md").read_text()
    assert all(path.stem in readme for path in PICTURES)


@pytest.mark.parametrize("path", PICTURES, ids=[path.stem for path in PICTURES])
def test_picture_is_small_to_download_and_large_enough_to_use(path):
    assert path.stat().st_size < 300_000
    with Image.open(path) as picture:
        assert 450 <= max(picture.size) <= 1024  # the cat is to be had at 451 only
        assert np.asarray(picture).std() > 30


def test_a_picture_made_again_is_the_same(tmp_path):
    make = "import sys; sys.path.insert(0, sys.argv[1]); from paintings import PAINTINGS; import numpy as np; "
    make += "np.save(sys.argv[2], PAINTINGS['woodblock_waves']())"
    subprocess.run(
        [sys.executable, "-c", make, str(REPOSITORY / "images"), str(tmp_path / "x.npy")], check=True, timeout=120
    )
    pixels = np.round(np.clip(np.load(tmp_path / "x.npy"), 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.jpg", quality=90)
    made, committed = (
        np.asarray(Image.open(path), np.float32)
        for path in (tmp_path / "x.jpg", REPOSITORY / "images" / "style" / "woodblock_waves.jpg")
    )
    # Other versions of NumPy and Pillow may round a few pixels another way.
    assert np.abs(made - committed).mean() < 0.5
