"""The command line: python -m nst_tf stylize CONTENT STYLE -o OUT."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from nst_tf.cli import commands
from nst_tf.cli.commands import BAD_INPUT, INTERRUPTED
from nst_tf.engine.quiet import show_log


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 a problem found, 2 bad input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    show_log()
    if hasattr(sys.stdout, "reconfigure"):  # a name that is not UTF-8 is no reason to lose the picture
        sys.stdout.reconfigure(errors="backslashreplace")
    # Ended by the system, a run keeps its best picture as if it were interrupted from the keyboard.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return options.run(options)
    except ModuleNotFoundError as error:
        where = "the .venv that `make demo` makes (. .venv/bin/activate), or in one where you ran pip install -e ."
        print(f"nst_tf: this Python has no {error.name}. Run it in {where}", file=sys.stderr)
        return BAD_INPUT
    except (ValueError, OSError, ImportError) as error:
        print(f"nst_tf: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("nst_tf: interrupted before there was a picture to keep.", file=sys.stderr)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nst_tf", description="Neural style transfer by image optimisation.")
    added = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_stylize(added.add_parser("stylize", help="repaint one picture in the style of another, or of several"))
    _add_sweep(added.add_parser("sweep", help="small pictures over two settings, in one figure"))
    _add_many(added.add_parser("many", help="many pictures: a job file, or every pair of two folders"))
    _add_frames(added.add_parser("frames", help="a video's frames, each started from the one before"))
    _add_promote(added.add_parser("promote", help="one picture of a sweep at full size"))
    _add_regions(added.add_parser("regions", help="propose masks: regions of like colour"))
    _add_texture(added.add_parser("texture", help="style without content: a texture of any size"))
    _add_reconstruct(added.add_parser("reconstruct", help="content without style: what one layer knows of a picture"))
    _add_weights(added.add_parser("weights", help="get the ImageNet weights of VGG19 or VGG16 now"))
    command = added.add_parser("doctor", help="look for what could keep a run from going well here")
    command.set_defaults(run=commands.doctor)
    command = added.add_parser("recipes", help="list the named recipes, or explain one")
    command.add_argument("name", nargs="?", metavar="NAME", help="which to explain")
    command.set_defaults(run=commands.recipes)
    return parser


def _add_stylize(command: argparse.ArgumentParser) -> None:
    command.add_argument("content", metavar="CONTENT", help="path or URL of the picture to repaint")
    command.add_argument("style", nargs="+", metavar="STYLE", help="path or URL of the picture whose style it gets")
    _add_recipe(command)
    _add_run(command)
    command.add_argument(
        "--like", metavar="PNG", help="take what is not given here from the settings inside a saved PNG"
    )
    command.add_argument(
        "--start", metavar="START", help="content, noise, style or content_with_noise, or the path of a picture"
    )
    controls = command.add_argument_group("controls")
    controls.add_argument(
        "--color", metavar="NAME", help="style, matching or luminance: the last two keep the content's colours"
    )
    controls.add_argument(
        "--style-scale",
        type=float,
        metavar="S",
        help="size of the style picture as a multiple of the content's: above 1 for larger strokes",
    )
    controls.add_argument(
        "--style-weights",
        type=_numbers,
        metavar="A,B",
        help="shares of several style pictures, which sum to 1 (default: equal)",
    )
    controls.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="FILE",
        help="white where a style is wanted; once for each style picture, in their order; 'rest' for what others leave",
    )
    controls.add_argument(
        "--style-mask",
        action="append",
        default=[],
        metavar="FILE",
        help="white where a style picture's style is taken from; once for each",
    )
    controls.add_argument(
        "--softness", type=_amount, default=0.0, metavar="N", help="blur the edges of masks by N pixels (default: 0)"
    )
    _add_engine(command)
    _add_outputs(command)
    command.set_defaults(run=commands.stylize)


def _add_sweep(command: argparse.ArgumentParser) -> None:
    command.add_argument("content", metavar="CONTENT", help="path or URL of the picture to repaint")
    command.add_argument("style", nargs="+", metavar="STYLE", help="path or URL of the style; two for mix")
    command.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where to put pictures and figure")
    example = "a field of the recipe, recipe, style, mix, features, solver or seed, and its values"
    command.add_argument("--rows", required=True, metavar="NAME=A,B", help=f"{example}, such as style_weight=1,5,25")
    command.add_argument("--columns", required=True, metavar="NAME=A,B", help="the same for the columns")
    _add_recipe(command, size="size of the small pictures in pixels (default: 192)")
    _add_run(command)
    _add_engine(command, checkpoints=False)
    command.set_defaults(run=commands.sweep)


def _add_many(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "jobs",
        nargs="?",
        metavar="JOBS",
        help="a CSV or JSON Lines with content, style, output, and whatever else differs, such as seed or style_weight",
    )
    folders = command.add_argument_group("instead of a job file")
    folders.add_argument("--content-dir", metavar="DIR", help="folder of pictures to repaint, or a pattern in quotes")
    folders.add_argument("--style-dir", metavar="DIR", help="folder of pictures whose styles they get, or a pattern")
    folders.add_argument("-o", "--output", metavar="DIR", help="where the results go, as CONTENT__STYLE.png")
    folders.add_argument("--by-name", action="store_true", help="pair only pictures of one name")
    _add_recipe(command)
    _add_run(command)
    workers = command.add_argument_group("workers")
    workers.add_argument(
        "--workers", type=_positive, metavar="N", help="processes (default: 1; on Ray as many as there is room for)"
    )
    workers.add_argument(
        "--ray", metavar="ADDRESS", help="work on a Ray cluster: its address, or local for one on this machine alone"
    )
    workers.add_argument(
        "--cpus-per-worker", type=_amount, default=1, metavar="N", help="cores of each on Ray (default: %(default)s)"
    )
    workers.add_argument(
        "--gpus-per-worker",
        type=_amount,
        default=0,
        metavar="N",
        help="GPUs of each on Ray, such as 0.25 for four workers on one (default: %(default)s)",
    )
    command.add_argument("--report", metavar="CSV", help="write what came of each job, line by line")
    command.add_argument("--again", action="store_true", help="make again what exists with the same settings")
    command.add_argument("--dry-run", action="store_true", help="check all jobs, estimate time and disk, make nothing")
    _add_engine(command, checkpoints=False)
    command.set_defaults(run=commands.many)


def _add_frames(command: argparse.ArgumentParser) -> None:
    command.add_argument("frames", metavar="FRAMES", help="folder of frames, or a pattern in quotes")
    command.add_argument("style", nargs="+", metavar="STYLE", help="path or URL of the style; several are blended")
    command.add_argument("-o", "--output", required=True, metavar="DIR", help="where the results go, as PNGs")
    command.add_argument(
        "--hold",
        type=_amount,
        metavar="W",
        help="hold each frame so strongly to the one before where nothing moves; 0 lets it flicker (default: 20)",
    )
    command.add_argument(
        "--later-steps", type=_positive, metavar="N", help="steps of each frame after the first (default: half as many)"
    )
    command.add_argument("--animation", metavar="GIF", help="also write an animation, .gif or .webp")
    command.add_argument(
        "--rate", type=_amount, default=12.0, metavar="N", help="frames a second of the animation (default: 12)"
    )
    _add_recipe(command)
    _add_run(command)
    command.add_argument("--again", action="store_true", help="make again what exists with the same settings")
    _add_engine(command, checkpoints=False)
    command.set_defaults(run=commands.frames)


def _add_promote(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="FOLDER", help="of the sweep")
    command.add_argument("row", type=_positive, metavar="ROW", help="counted from 1, from the top")
    command.add_argument("column", type=_positive, metavar="COLUMN", help="counted from 1, from the left")
    command.add_argument("--size", type=_positive, metavar="N", help="in pixels (default: the recipe's)")
    _add_engine(command)
    _add_outputs(command)
    command.set_defaults(run=commands.promote)


def _add_regions(command: argparse.ArgumentParser) -> None:
    command.add_argument("content", metavar="CONTENT", help="path or URL of the picture")
    command.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where to put the masks")
    command.add_argument("--count", type=_positive, default=3, metavar="N", help="how many (default: %(default)s)")
    command.add_argument(
        "--size", type=_positive, default=1024, metavar="N", help="longest side (default: %(default)s)"
    )
    command.add_argument(
        "--softness", type=_amount, default=2.0, metavar="N", help="blur their edges by N pixels (default: %(default)s)"
    )
    command.add_argument("--seed", type=int, metavar="N", help="of where the search starts (default: 0)")
    command.set_defaults(run=commands.regions)


def _add_texture(command: argparse.ArgumentParser) -> None:
    command.add_argument("style", metavar="STYLE", help="path or URL of the style")
    command.add_argument(
        "--size", type=_size, default=(512, 512), metavar="W×H", help="as 800x600, or one number (default: 512)"
    )
    _add_run(command)
    _add_engine(command)
    _add_outputs(command)
    command.set_defaults(run=commands.texture)


def _add_reconstruct(command: argparse.ArgumentParser) -> None:
    command.add_argument("content", metavar="CONTENT", help="path or URL of the picture")
    command.add_argument(
        "--layer", default="block4_conv2", metavar="NAME", help="whose features (default: %(default)s)"
    )
    command.add_argument("--size", type=_positive, default=400, metavar="N", help="longest side (default: %(default)s)")
    _add_run(command)
    _add_engine(command)
    _add_outputs(command)
    command.set_defaults(run=commands.reconstruct)


def _add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--from",
        dest="source",
        metavar="NAME",
        help="keras for its exact file, or pip for VGG19 in 8 bits (default: keras, and where that fails pip)",
    )
    command.add_argument("--network", default="vgg19", metavar="NAME", help="vgg19 or vgg16 (default: %(default)s)")
    command.set_defaults(run=commands.weights)


SIZE = "size of the result in pixels; for most recipes its longest side (default: the recipe's)"


def _add_recipe(command: argparse.ArgumentParser, size: str = SIZE) -> None:
    command.add_argument("--size", type=_positive, metavar="N", help=size)
    command.add_argument("--recipe", metavar="NAME", help="a named recipe (default: studio)")
    command.add_argument("--solver", metavar="NAME", help="fast, or published for the recipe's own (default: fast)")


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--features",
        metavar="NAME",
        help="auto (vgg19 on a GPU, slim on a CPU), slim, vgg19, vgg16 or a weights file of VGG19, .h5 (default: auto)",
    )
    command.add_argument("--steps", type=_positive, metavar="N", help="how many steps (default: the recipe's)")
    command.add_argument("--seed", type=int, metavar="N", help="for all that is random (default: 0)")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change any field of the recipe, such as style_weight=20 or style_layers=1-3; may be repeated",
    )


def _add_engine(command: argparse.ArgumentParser, *, checkpoints: bool = True) -> None:
    """Add what `Engine` takes; a command that makes many pictures has no use for one checkpoint."""
    engine = command.add_argument_group("engine")
    engine.add_argument(
        "--precision",
        metavar="NAME",
        help="what the network computes in: auto (by the device), float32, bfloat16 or float16 (default: auto)",
    )
    engine.add_argument(
        "--tile",
        type=_positive,
        metavar="N",
        help="compute in tiles of N pixels a side, which bounds the memory (default: only where needed)",
    )
    engine.add_argument(
        "--deterministic", action="store_true", help="the same bits each time on a GPU too, in more time"
    )
    if checkpoints:
        engine.add_argument(
            "--checkpoint", metavar="NST", help="write to this file, from time to time, what the run needs to go on"
        )
        engine.add_argument(
            "--resume", metavar="NST", help="go on from such a file; give the same pictures and settings again"
        )


def _add_outputs(command: argparse.ArgumentParser) -> None:
    outputs = command.add_argument_group("outputs")
    outputs.add_argument("-o", "--output", required=True, metavar="OUT", help="where to save: .png, .jpg or .webp")
    outputs.add_argument("--plot", metavar="PNG", help="also draw the losses over the steps")
    outputs.add_argument("--timelapse", metavar="GIF", help="also write an animation of it, .gif or .webp")
    outputs.add_argument("--timelapse-curve", action="store_true", help="with the loss curve in a corner")
    outputs.add_argument("--timelapse-megabytes", type=_amount, metavar="N", help="no larger than this")


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
