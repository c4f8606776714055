"""The command line: python -m nst_tf stylize CONTENT STYLE -o OUT."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nst_tf.engine.quiet import show_log

if TYPE_CHECKING:
    from nst_tf.transfer import Result, Step

DONE, PROBLEM_FOUND, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
DEFAULTS = {"recipe": "studio", "features": "auto", "solver": "fast", "seed": 0, "steps": None}
# Of a time-lapse, kept while the run goes on: a long one would otherwise fill the memory with pictures.
MOST_FRAMES = 80
FRAME_SIDE = 320


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 a problem found, 2 bad input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    show_log()
    # Ended by the system, a run keeps its best picture as if it were interrupted from the keyboard.
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
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
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser("stylize", help="repaint one picture in the style of another")
    command.add_argument("content", metavar="CONTENT", help="path or URL of the picture to repaint")
    command.add_argument("style", metavar="STYLE", help="path or URL of the picture whose style it gets")
    command.add_argument("-o", "--output", required=True, metavar="OUT", help="where to save: .png, .jpg or .webp")
    command.add_argument("--recipe", metavar="NAME", help="a named recipe (default: studio)")
    command.add_argument(
        "--features",
        metavar="NAME",
        help="auto, vgg19, vgg16, offline (needs no download) or a weights file of VGG19, .h5 (default: auto)",
    )
    command.add_argument(
        "--solver",
        metavar="NAME",
        help="fast, or published for the recipe's own (default: fast)",
    )
    command.add_argument(
        "--size",
        type=_positive,
        metavar="N",
        help="size of the result in pixels; for most recipes its longest side (default: the recipe's)",
    )
    command.add_argument("--steps", type=_positive, metavar="N", help="how many steps (default: the recipe's)")
    command.add_argument("--seed", type=int, metavar="N", help="for all that is random (default: 0)")
    command.add_argument(
        "--like", metavar="PNG", help="take what is not given here from the settings inside a saved PNG"
    )
    command.add_argument(
        "--precision",
        default="auto",
        metavar="NAME",
        help="what the network computes in: auto (by the device), float32, bfloat16 or float16 (default: %(default)s)",
    )
    command.add_argument(
        "--tile",
        type=_positive,
        metavar="N",
        help="compute in tiles of N pixels a side, which bounds the memory (default: only where needed)",
    )
    command.add_argument(
        "--checkpoint", metavar="NST", help="write to this file, from time to time, what the run needs to go on"
    )
    command.add_argument(
        "--resume", metavar="NST", help="go on from such a file; give the same pictures and settings again"
    )
    command.add_argument(
        "--deterministic", action="store_true", help="the same bits each time on a GPU too, in more time"
    )
    command.add_argument("--plot", metavar="PNG", help="also draw the losses over the steps")
    command.add_argument("--timelapse", metavar="GIF", help="also write an animation of how the picture came to be")
    command.set_defaults(run=_stylize)
    command = commands.add_parser("doctor", help="look for what could keep a run from going well here")
    command.set_defaults(run=_doctor)
    command = commands.add_parser("recipes", help="list the named recipes, or explain one")
    command.add_argument("name", nargs="?", metavar="NAME", help="which to explain")
    command.set_defaults(run=_recipes)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _stylize(options: argparse.Namespace) -> int:
    begun = time.monotonic()
    # What is wrong with a file is found before TensorFlow is imported, which takes seconds.
    from nst_tf.engine.files import check_writable
    from nst_tf.images import read_pixels, save_options
    from nst_tf.settings import settings_of

    save_options(options.output)
    if options.timelapse and not options.timelapse.lower().endswith(".gif"):
        raise ValueError(f"A time-lapse is written as GIF; {options.timelapse!r} does not end in .gif.")
    for path in filter(None, (options.output, options.plot, options.timelapse, options.checkpoint)):
        check_writable(path)
    content, style = (read_pixels(path) for path in (options.content, options.style))
    like = settings_of(options.like) if options.like else {}

    from nst_tf.engine.quiet import start_tensorflow

    print("Starting TensorFlow ...", flush=True)
    start_tensorflow()
    from nst_tf.recipes import changed_by_json, find_recipe, size_of
    from nst_tf.transfer import FEATURES, stylize

    warnings.showwarning = lambda message, *_: print(f"Note: {message}", flush=True)
    for name, default in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, like.get(name, default))
    recipe = find_recipe(options.recipe)
    if like.get("recipe") == recipe.name:
        recipe = changed_by_json(recipe, like.get("changes", {}))
    if like and options.size is None:
        options.size = size_of(recipe, *like["size"])
    if like and options.features == like["features"] not in FEATURES:
        raise ValueError(f"{options.like!r} was made with {options.features}; say with --features where these are now.")
    watcher = _Watcher(keeps_images=bool(options.timelapse))
    result = stylize(
        *recipe.load_images(content, style, size=options.size),
        recipe=recipe,
        features=options.features,
        solver=options.solver,
        steps=options.steps,
        seed=options.seed,
        precision=options.precision,
        tile=options.tile,
        checkpoint=options.checkpoint,
        resume=options.resume,
        deterministic=options.deterministic,
        callback=watcher,
    )
    watcher.end_line()
    if like and [like.get("content"), like.get("style")] != [result.settings[name] for name in ("content", "style")]:
        print(f"Note: {options.like} was made of other pictures, or of these at another size.")
    _save_all(result, watcher, options)
    height, width = result.image.shape[1:3]
    print(
        f"{options.output}: {width} × {height} pixels, {result.steps} steps in {time.monotonic() - begun:.1f} s "
        f"with {result.features} features in {result.precision}"
        f"{'.' if result.status == 'done' else f'; {result.status}, best picture kept.'}"
    )
    return INTERRUPTED if result.status == "interrupted" else DONE


def _doctor(options: argparse.Namespace) -> int:
    from nst_tf.tools.doctor import PROBLEM, examine

    levels = []
    for finding in examine():
        print(finding, flush=True)
        levels.append(finding.level)
    return PROBLEM_FOUND if PROBLEM in levels else DONE


def _recipes(options: argparse.Namespace) -> int:
    from nst_tf.engine.quiet import start_tensorflow

    start_tensorflow()
    from nst_tf.explain import overview
    from nst_tf.recipes import RECIPES, find_recipe

    if options.name is None:
        print(overview(list(RECIPES.values())))
    else:
        print(find_recipe(options.name).explain(plain=True), end="")
    return DONE


def _save_all(result: Result, watcher: _Watcher, options: argparse.Namespace) -> None:
    result.save(options.output)
    if options.plot:
        from nst_tf.display import plot_history
        from nst_tf.engine.files import written_whole

        with written_whole(options.plot) as temporary:
            plot_history(result.history).savefig(temporary, dpi=120, format="png")
    if options.timelapse:
        from nst_tf.display import timelapse

        timelapse([*watcher.images, result.image], options.timelapse)


class _Watcher:
    """A callback that draws a progress bar, and keeps pictures for a time-lapse if asked to."""

    def __init__(self, *, keeps_images: bool):
        self.images = []
        self._keeps_images = keeps_images
        self._bar = None
        self._line_is_open = False

    def __call__(self, step: Step) -> None:
        if self._bar is None:
            import keras

            self._bar = keras.utils.Progbar(step.steps, stateful_metrics=["loss", "content", "style"], unit_name="step")
        values = [("loss", step.losses.total), ("content", step.losses.content), ("style", step.losses.style)]
        self._bar.update(step.step, values)
        self._line_is_open = step.step < step.steps
        if self._keeps_images:
            import numpy as np

            from nst_tf.images import read_pixels

            frame = np.clip(step.image(), 0, 1)
            if np.isfinite(frame).all():
                self.images.append(read_pixels(frame, max_side=FRAME_SIDE))
            if len(self.images) > MOST_FRAMES:
                del self.images[1::2]

    def end_line(self) -> None:
        """Go to a new line if the bar stopped before its end."""
        if self._line_is_open:
            print()


if __name__ == "__main__":
    sys.exit(main())
