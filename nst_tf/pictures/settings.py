"""What an image was made with, kept inside the PNG itself as plain text."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from typing import Any

from PIL import Image

from nst_tf.ground.checks import shown
from nst_tf.ground.files import user_path

KEYWORD = "nst_tf"
# No PNG of ours comes near it, and nobody should have to parse megabytes from elsewhere.
LONGEST_TEXT = 100_000
# What an image says of itself and its copies keep: by name, the EXIF tag and the keyword in a PNG.
X_RESOLUTION, Y_RESOLUTION = 282, 283
# An EXIF block holds 64 KB, and a JPEG's resolution has 16 bits.
LONGEST_CREDIT, MOST_DPI = 1000, 65_535
CREDITS = {"author": (0x013B, "Author"), "copyright": (0x8298, "Copyright")}
# What the settings of every image hold, of what kind, and of what kind the parts of its lists are.
KINDS: dict[str, type | tuple[type, ...]] = dict.fromkeys(("recipe", "features", "network", "precision"), str)
KINDS |= {"changes": dict, "solver": (str, dict), "steps": int, "seed": int, "size": list, "style_weights": list}
PARTS = {"size": int, "style_weights": (int, float)}


def credits_of(path: str | os.PathLike) -> dict[str, Any]:
    """Return what an image file says of its author, its copyright and its resolution ("dpi"), as far as it does."""
    try:
        with Image.open(path) as image:
            exif, info = image.getexif(), image.info
    except Exception:  # an address; or damaged, which is told where its pixels are read
        return {}
    # EXIF is ASCII by its standard and UTF-8 in practice; Pillow reads it as Latin-1.
    said = {name: _utf8(str(info.get(word) or exif.get(tag, ""))) for name, (tag, word) in CREDITS.items()}
    found = {name: text.strip("\0 ")[:LONGEST_CREDIT] for name, text in said.items() if text.strip("\0 ")}
    dpi = 0.0
    with contextlib.suppress(TypeError, ValueError):  # of a program that wrote "300 dpi" where a number belongs
        dpi = float(max(info.get("dpi", (exif.get(X_RESOLUTION, 0),))))
    return {**found, "dpi": round(dpi, 2)} if 1 < dpi <= MOST_DPI else found  # 1 stands for none


def _utf8(text: str) -> str:
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def settings_text(settings: dict[str, Any]) -> dict[str, str]:
    """Return settings as the text that `save_image` puts into a PNG."""
    return {KEYWORD: json.dumps(settings, default=plain)}


def plain(value: Any) -> Any:
    """Return a number of NumPy's as Python's, and a path as text."""
    return value.item() if hasattr(value, "item") else str(value)


def settings_of(path: str | os.PathLike) -> dict[str, Any]:
    """Read what a saved PNG was made with.

    Args:
        path: A PNG that `Result.save` or the command line wrote.

    Returns:
        "recipe" and what was changed in it ("changes"), "features", "solver", "steps", "seed", "precision", "size"
        (height, width), "versions" by package, and SHA-256 hashes of what it was made from ("content",
        "style", "masks", "start", "previous"); from the command line also the "credits" of the content image.

    Raises:
        ValueError: If there is no such file, or it carries no settings.

    Example:
        >>> settings_of("stylized.png")["recipe"]
        'studio'
    """
    name, path = shown(path), user_path(path)
    if not os.path.isfile(path):
        raise ValueError(f"There is no file {name}. Check the path and the working folder.")
    refusal = f"{name} carries no settings; only a PNG that nst_tf saved does."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its pixels are never read
            image = Image.open(path, formats=["PNG"])
        with image:
            text = image.info.get(KEYWORD) or getattr(image, "text", {}).get(KEYWORD, "")
        settings = json.loads(text) if len(text) <= LONGEST_TEXT else None
    except (OSError, SyntaxError, ValueError, RecursionError, Image.DecompressionBombError) as error:
        raise ValueError(refusal) from error
    if not isinstance(settings, dict) or not isinstance(settings.get("recipe"), str):
        raise ValueError(refusal)
    settings = {"style_weights": [], **settings}  # which early versions left out
    wrong = [key for key, kind in KINDS.items() if not isinstance(settings.get(key), kind)]
    wrong = wrong or [key for key, kind in PARTS.items() if not all(isinstance(part, kind) for part in settings[key])]
    if wrong or len(settings["size"]) != 2:
        raise ValueError(f"{name} carries settings that nst_tf cannot have written ({', '.join(wrong) or 'size'}).")
    return settings
