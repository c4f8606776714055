"""Files to pixels and back.

Everywhere in `nst_tf` a picture is one thing: float32 RGB in [0, 1], of shape (1, height, width, 3).  This module is
the entry point at which that is made true.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nst_tf.ground.checks import shown, to_uint8
from nst_tf.ground.files import atomic_write, user_path
from nst_tf.pictures.reading import read_pixels
from nst_tf.pictures.settings import CREDITS, X_RESOLUTION, Y_RESOLUTION, settings_text

if TYPE_CHECKING:
    import tensorflow as tf

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".webp": {"format": "WEBP", "quality": 95, "use_sharp_yuv": True},
}


def load_image(
    source: Any,
    *,
    max_side: int | None = None,
    size: tuple[int, int] | None = None,
    upscale: bool = False,
    name: str | None = None,
) -> tf.Tensor:
    """Load a picture from almost anywhere.

    A camera's EXIF orientation is applied, transparency is composited onto white, colors are converted to sRGB, 16-bit
    pictures are rescaled, and only the first frame of an animation is taken.  Resizing is Lanczos with antialiasing.

    Args:
        source: A path, an http(s) URL, the bytes of a picture file, a PIL image, or an array.  Arrays are
            (height, width), (height, width, 1, 3 or 4) or those with a leading 1, as integers in the range of their
            type (uint8, uint16) or as floats in [0, 1].
        max_side: The longest side of the result in pixels; the aspect is kept.  A smaller picture is left as it is.
        size: The exact (height, width) of the result; the aspect is not kept.
        upscale: Whether `max_side` may also enlarge.
        name: What to call the picture in messages, where it has no file name.

    Returns:
        float32 tensor of shape (1, height, width, 3), RGB in [0, 1].

    Raises:
        ValueError: If the source is missing, empty, truncated, not a picture, too large or too small.  The message
            names the file and says what to do.

    Example:
        >>> content_image = load_image("content.jpg", max_side=512)
    """
    # TensorFlow takes seconds to import; a wrong path is reported before that.
    pixels = read_pixels(source, max_side=max_side, size=size, upscale=upscale, name=name)
    import tensorflow as tf

    return tf.constant(pixels[np.newaxis])


def save_image(image: Any, path: str | os.PathLike, *, settings: dict[str, Any] | None = None) -> Path:
    """Save a picture as PNG, JPEG or WebP, by the path's suffix; whole or not at all.

    Args:
        image: (1, height, width, 3) or (height, width, 3), RGB in [0, 1].  Values outside are clipped, and every
            value is rounded to the nearest of 256 levels.
        path: Where to write.  Missing folders are made.
        settings: What `settings_of` is to read from a PNG; other formats carry no more of it than its "credits", what
            the file says of itself: "author", "copyright", and "dpi", how many pixels are an inch.

    Returns:
        The path.

    Raises:
        ValueError: If the suffix is not one of .png, .jpg, .jpeg, .webp, or the picture is not RGB or not finite.
        OSError: If the file cannot be written; nothing is left behind, and a file that stood there is untouched.
    """
    path = user_path(path)
    options, credits = dict(save_options(path)), (settings or {}).get("credits") or {}
    text = settings_text(settings) if settings else {}
    exif = Image.Exif()
    for name, (tag, keyword) in CREDITS.items():
        if credits.get(name):
            exif[tag], text[keyword] = credits[name].encode(), credits[name]
    if dpi := credits.get("dpi"):
        options["dpi"] = (dpi, dpi)
        exif[X_RESOLUTION] = exif[Y_RESOLUTION] = dpi  # in inches, where no unit is said
    if len(exif):
        options["exif"] = exif
    if options["format"] == "PNG":
        options["pnginfo"] = PngInfo()
        for keyword, words in text.items():
            options["pnginfo"].add_itxt(keyword, words)
    picture = Image.fromarray(to_uint8(image))
    with atomic_write(path) as temporary:
        picture.save(temporary, **options)
    return path


def save_options(path: str | os.PathLike) -> dict[str, Any]:
    """Return Pillow's options for the format that a path's suffix names; reject others than `save_image` writes."""
    suffix = Path(path).suffix.lower()
    if suffix not in SAVE_OPTIONS:
        raise ValueError(f"Cannot save {shown(path)}: the name must end in one of {', '.join(SAVE_OPTIONS)}.")
    return SAVE_OPTIONS[suffix]
