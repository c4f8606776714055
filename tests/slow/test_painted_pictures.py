import subprocess
import sys

import numpy as np
from conftest import REPOSITORY
from PIL import Image


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
