"""Make the bundled pictures again: python images/make_images.py [NAME …].

They come from nothing but NumPy and Pillow, and are the same each time.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from paintings import PAINTINGS
from photographs import PHOTOGRAPHS
from PIL import Image

FOLDER = Path(__file__).resolve().parent
JPEG_QUALITY = 90
SIZE_LIMIT_BYTES = 300_000


def main(names: Sequence[str]) -> None:
    """Make the pictures named, or all of them."""
    known = {name: ("content", make) for name, make in PHOTOGRAPHS.items()}
    known |= {name: ("style", make) for name, make in PAINTINGS.items()}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"There is no picture {', '.join(unknown)}; there are {', '.join(known)}.")
    for name in names or known:
        make_picture(name, *known[name])


def make_picture(name: str, folder: str, make: Callable[[], np.ndarray]) -> None:
    """Render one picture and save it as JPEG."""
    begun = time.monotonic()
    path = FOLDER / folder / f"{name}.jpg"
    path.parent.mkdir(exist_ok=True)
    pixels = np.round(np.clip(make(), 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=JPEG_QUALITY, optimize=True)
    size = path.stat().st_size
    if size > SIZE_LIMIT_BYTES:
        sys.exit(f"{path.name} has {size:,} bytes, more than {SIZE_LIMIT_BYTES:,}.")
    print(f"{path.relative_to(FOLDER.parent)}: {size // 1000} kB, {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
