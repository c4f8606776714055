"""The command line: python -m nst_tf stylize CONTENT STYLE -o OUT."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from nst_tf.cli import commands
from nst_tf.cli.commands import BAD_INPUT, INTERRUPTED
from nst_tf.ground.startup import show_log
from nst_tf.networks.table import NETWORKS
from nst_tf.tools.jobs import Job


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 a problem found, 2 bad input, 130 interrupted."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.error(_unknown(unknown[0], options.run.__name__))
    for name in ("stdin", "stdout", "stderr"):  # closed (>&-), or not there, as under pythonw
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115
    show_log()
    if hasattr(sys.stdout, "reconfigure"):  # a name that is not UTF-8 is no reason to lose the image
        sys.stdout.reconfigure(errors="backslashreplace")
    # Ended by the system, a run keeps its best image as if it were interrupted from the keyboard.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return options.run(options)
    except ModuleNotFoundError as error:
        where = "the .venv that `make demo` makes (. .venv/bin/activate), or in one where you ran pip install -e ."
        print(f"nst_tf: this Python has no {error.name}. Run it in {where}", file=sys.stderr)
        return BAD_INPUT
    except (ValueError, OSError, OverflowError, ImportError) as error:
        print(f"nst_tf: {error}", file=sys.stderr)
        return BAD_INPUT
    except MemoryError:
        print("nst_tf: there is not enough memory for that. Choose a smaller --size.", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("nst_tf: interrupted before there was an image to keep.", file=sys.stderr)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)


def _unknown(argument: str, command: str) -> str:
    if not argument.startswith("-"):
        return f"unexpected {argument!r}; put a name with spaces in quotes"
    flags = [flag for option in COMMANDS[command] if not isinstance(option, str) for flag in option[0]]
    close = get_close_matches(argument.partition("=")[0], flags)
    meant = f" did you mean {' or '.join(close)}?" if close else ""
    return f"{command} has no {argument};{meant} `python -m nst_tf {command} --help` lists its options"


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return amount


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0.3,0.7") from None


def _size(text: str) -> tuple[int, int]:
    width, times, height = text.replace("×", "x").partition("x")
    return _positive(width), _positive(height if times else width)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _option(words: str, help: str, type: Callable | None = None, **others: Any) -> tuple[list[str], dict[str, Any]]:
    """Return what `add_argument` takes, from words such as "-o --output OUT", "--again" or "CONTENT"."""
    flags = [word for word in words.split() if word.startswith("-")]
    *_, last = words.split()
    if last in flags:
        return flags, {"help": help, "action": "store_true", **others}
    return flags or [others.pop("dest", last.lower())], {"help": help, "type": type, "metavar": last, **others}


# Options that say what a job is made from are called as the field of `Job`; a dot leads into its records.
CONTENT = _option("CONTENT", "path or URL of the image")
SIZE = "size of the result in pixels; for most recipes its longest side (default: the recipe's, 192 in a sweep)"
AXIS = (
    "style, style_weights (1|0,0.5|0.5), mask, start, recipe, features, solver, seed or a recipe's field, with values"
)
AGAIN = _option("--again", "make again what is already there with the same settings")
FEATURES = f"auto (vgg19 on a GPU, slim on a CPU), {', '.join(NETWORKS)} or a weights file of VGG19, .h5"
FIELD = "change any field of the recipe, such as style_weight=20 or style_layers=1-3; may be repeated"
RUN = [
    _option("--features NAME", f"{FEATURES} (default: {Job.features})"),
    _option("--steps N", "how many steps (default: the recipe's)", _positive),
    _option("--seed N", f"for all that is random (default: {Job.seed})", int),
    _option("--set NAME=VALUE", FIELD, action="append", default=[]),
]
START = "content, recolored, noise, style or content_with_noise, or the path or URL of an image (default: the recipe's)"
MASK = "white where a style is wanted; once for each style image, in their order; 'rest' for what others leave"
SCALE = "size of the style image as a multiple of the content's: above 1 for larger strokes"
ENGINE = [
    "engine",
    _option("--precision NAME", "float32, bfloat16 or float16 (default: auto, by the device)", dest="engine.precision"),
    _option("--tile N", "compute in tiles of N pixels a side (default: where needed)", _positive, dest="engine.tile"),
    _option("--deterministic", "the same bits on a GPU too, in more time", dest="engine.deterministic", default=None),
]
# What every command that makes one image takes.
OUTPUTS = [
    _option("--checkpoint NST", "write here, now and then, what the run needs to go on", dest="engine.checkpoint"),
    _option("--resume NST", "go on from such a file; give the same images and settings again", dest="engine.resume"),
    "outputs",
    _option("-o --output OUT", "where to save: .png, .jpg or .webp", required=True),
    _option("--plot PNG", "also draw the losses over the steps"),
    _option("--timelapse GIF", "also write an animation of it, .gif or .webp"),
]
# What every command that repaints images takes.
JOB = [
    _option("--size N", SIZE, _positive),
    _option("--recipe NAME", f"a named recipe (default: {Job.recipe})"),
    _option("--solver NAME", f"fast, or published for the recipe's own (default: {Job.solver})"),
    *RUN,
    "controls",
    _option("--start START", START),
    _option("--color NAME", "style; or matching or luminance, which keep the content's colors", dest="changes.color"),
    _option("--style-scale S", SCALE, float, dest="changes.style_scale"),
    _option("--style-weights A,B", "shares of several style images, which sum to 1 (default: equal)", _numbers),
    _option("--mask FILE", MASK, action="append", dest="masks"),
    _option("--style-mask FILE", "white where a style is taken from, for each", action="append", dest="style_masks"),
    _option("--softness N", f"blur the edges of masks by N pixels (default: {Job.softness:g})", _amount),
    *ENGINE,
]
JOBS = "a CSV or JSON Lines with content, style, output, and whatever else differs, such as seed, mask or style_weight"
PUBLISHED = " or ".join(name for name, network in NETWORKS.items() if network.weights)
HOLD = "hold each frame so strongly to the one before where nothing moves; 0 lets it flicker (default: %(default)g)"
SOURCE = "keras for its exact file, or pip for VGG19 in 8 bits (default: keras, and where that fails pip)"

# By command, its options; a word begins a group of them.
COMMANDS: dict[str, list] = {
    "stylize": [
        CONTENT,
        _option("STYLE", "path or URL of the image whose style it gets", nargs="+", dest="styles"),
        _option("--like PNG", "take what is not given here from the settings inside a saved PNG"),
        *[*JOB, *OUTPUTS],
    ],
    "sweep": [
        CONTENT,
        _option("STYLE", "path or URL of the style; several are blended", nargs="+", dest="styles"),
        _option("-o --output FOLDER", "where to put images and figure", required=True, dest="folder"),
        _option("--rows NAME=A,B", f"{AXIS}, such as style_weight=1,5,25", required=True),
        _option("--columns NAME=A,B", "the same for the columns", required=True),
        *JOB,
    ],
    "many": [
        _option("JOBS", JOBS, nargs="?"),
        _option("--report CSV", "write what came of each job, line by line"),
        AGAIN,
        _option("--dry-run", "check all jobs, estimate time and disk, make nothing"),
        "instead of a job file",
        _option("--content-dir DIR", "folder of images to repaint, or a pattern in quotes"),
        _option("--style-dir DIR", "folder of images whose styles they get, or a pattern"),
        _option("-o --output DIR", "where the results go, as CONTENT__STYLE.png", dest="folder"),
        _option("--by-name", "pair only images of one name"),
        "workers",
        _option("--workers N", "processes on this machine (default: 1)", _positive),
        _option("--cluster ADDRESS", "work on a Dask cluster: its scheduler's address, such as tcp://10.0.0.1:8786"),
        "for all jobs",
        *JOB,
    ],
    "frames": [
        _option("FRAMES", "video, animation, folder of frames, or a pattern in quotes"),
        _option("STYLE", "path or URL of the style; several are blended", nargs="+", dest="styles"),
        _option("-o --output OUT", "video or animation, .mp4, .gif or .webp; or folder", required=True, dest="folder"),
        _option("--hold W", HOLD, _amount, default=20.0),
        _option("--rate N", "frames a second where the input has no rate (default: 12)", _amount, default=12.0),
        *[AGAIN, *JOB],
    ],
    "regions": [
        CONTENT,
        _option("-o --output FOLDER", "where to put the masks", required=True),
        _option("--count N", "how many (default: %(default)s)", _positive, default=3),
        _option("--size N", "longest side (default: %(default)s)", _positive, default=1024),
        _option("--softness N", "blur their edges by N pixels (default: %(default)s)", _amount, default=2.0),
        _option("--seed N", "of where the search starts (default: 0)", int),
    ],
    "texture": [
        _option("STYLE", "path or URL of the style"),
        _option("--size W×H", "as 800x600, or one number (default: 512)", _size, default=(512, 512)),
        *[*RUN, *ENGINE, *OUTPUTS],
    ],
    "reconstruct": [
        CONTENT,
        _option("--layer NAME", "whose features (default: %(default)s)", default="block4_conv2"),
        _option("--size N", "longest side (default: %(default)s)", _positive, default=400),
        *[*RUN, *ENGINE, *OUTPUTS],
    ],
    "weights": [
        _option("--from NAME", SOURCE, dest="source"),
        _option("--network NAME", f"{PUBLISHED} (default: %(default)s)", default="vgg19"),
    ],
    "doctor": [],
    "recipes": [_option("NAME", "which to explain", nargs="?")],
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nst_tf", description="Neural style transfer by image optimization.")
    added = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, options in COMMANDS.items():
        run = getattr(commands, name)
        command = group = added.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        for option in options:
            if isinstance(option, str):
                group = command.add_argument_group(option)
            else:
                flags, arguments = option
                group.add_argument(*flags, **arguments)
    return parser
