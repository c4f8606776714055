"""What an image was made with, kept inside the PNG itself as plain text."""

from __future__ import annotations

import json
import os
import warnings
from typing import Any

from PIL import Image

from nst_tf.ground.files import user_path

KEYWORD = "nst_tf"
# No PNG of ours comes near it, and nobody should have to parse megabytes from elsewhere.
LONGEST_TEXT = 100_000
# What the settings of every image hold, and of what kind.
KINDS = {
    "recipe": str,
    "changes": dict,
    "features": str,
    "network": str,
    "solver": str,
    "steps": int,
    "seed": int,
    "precision": str,
    "size": list,
}


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
        "style", "masks", "start", "previous").

    Raises:
        ValueError: If there is no such file, or it carries no settings.

    Example:
        >>> settings_of("stylized.png")["recipe"]
        'studio'
    """
    shown, path = repr(os.fspath(path)), user_path(path)
    if not path.is_file():
        raise ValueError(f"There is no file {shown}. Check the path and the working folder.")
    refusal = f"{shown} carries no settings; only a PNG that nst_tf saved does."
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
    weights = settings.get("style_weights", [])
    if not isinstance(weights, list) or not all(isinstance(weight, (int, float)) for weight in weights):
        raise ValueError(f"{shown} carries settings that nst_tf cannot have written (style_weights).")
    wrong = [name for name, kind in KINDS.items() if not isinstance(settings.get(name), kind)]
    if wrong or len(settings["size"]) != 2 or not all(isinstance(side, int) for side in settings["size"]):
        raise ValueError(f"{shown} carries settings that nst_tf cannot have written ({', '.join(wrong) or 'size'}).")
    return settings
