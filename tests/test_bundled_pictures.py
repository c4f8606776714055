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
