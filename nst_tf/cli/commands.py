"""What the commands of the command line do; `nst_tf.cli.parser` reads the command line itself."""

from __future__ import annotations

import argparse
import contextlib
import csv
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import tensorflow as tf

    from nst_tf.controls.styles import Style
    from nst_tf.engine.run import Engine
    from nst_tf.tools.jobs import Job
    from nst_tf.tools.many import Outcome
    from nst_tf.tools.plan import Plan
    from nst_tf.transfer import Result, Step

DONE, PROBLEM_FOUND, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
DEFAULTS = {"recipe": "studio", "features": "auto", "solver": "fast", "seed": 0, "steps": None}
# Of a time-lapse, kept while the run goes on: a long one would otherwise fill the memory with pictures.
MOST_FRAMES = 80
FRAME_SIDE = 320
REST = "rest"
# No recipe's own size is larger, nor that of a style picture four times as large.
LARGEST_BY_DEFAULT = 2048
SECONDS_PER_LINE = 0.5
SECONDS_PER_COUNT = 2.0


def stylize(options: argparse.Namespace) -> int:
    """Repaint a picture."""
    begun = time.monotonic()
    # What is wrong with a file is found before TensorFlow is imported, which takes seconds.
    from nst_tf.pictures.reading import read_pixels
    from nst_tf.pictures.settings import settings_of

    _check_outputs(options)
    at_least = 2 * (options.size or LARGEST_BY_DEFAULT)
    content = read_pixels(options.content, at_least=at_least)
    at_least = round(at_least * max(1.0, options.style_scale or 1.0))
    styles = [read_pixels(path, at_least=at_least) for path in options.style]
    _check_masks(options)
    if options.start and os.path.isfile(options.start):
        read_pixels(options.start)
    like = settings_of(options.like) if options.like else {}

    _start_tensorflow()
    from nst_tf import transfer
    from nst_tf.controls.sizes import load_images, size_of
    from nst_tf.engine.extractors import FEATURES, check_features
    from nst_tf.published.fields import changed_by_json
    from nst_tf.recipes import find_recipe

    for name, default in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, like.get(name, default))
    recipe = find_recipe(options.recipe)
    if like.get("recipe") == recipe.name:
        recipe = changed_by_json(recipe, like.get("changes", {}))
    recipe = recipe.changed(**_changes(options))
    if like and options.size is None:
        options.size = size_of(recipe, *like["size"])
    if like and options.features == like["features"] not in FEATURES:
        raise ValueError(f"{options.like!r} was made with {options.features}; say with --features where these are now.")
    check_features(options.features)
    if like.get("masks") and not options.mask and not options.style_mask:
        raise ValueError(f"{options.like!r} was made with masks, which it does not hold; give them again with --mask.")
    same_kind = bool(like.get("masks")) == bool(options.mask or options.style_mask)
    if options.style_weights is None and same_kind and len(like.get("style_weights", [])) == len(styles):
        options.style_weights = like["style_weights"]
    content_image, style_images = load_images(content, styles, recipe=recipe, size=options.size)
    watcher = _Watcher(keeps_images=bool(options.timelapse))
    result = transfer.stylize(
        content_image,
        _styles(options, content_image, style_images),
        recipe=recipe,
        features=options.features,
        solver=options.solver,
        steps=options.steps,
        seed=options.seed,
        start=_start(options.start),
        engine=_engine(options),
        callback=watcher,
    )
    if like and like["network"] != result.settings["network"]:
        _say(f"Note: {options.like} was made with {like['network']} features, this with {result.features}.")
    if like and like["precision"] != result.precision:
        _say(f"Note: {options.like} was made in {like['precision']}, this in {result.precision}.")
    inputs = ("content", "style", "masks", "start", "previous")
    note = ""
    if like and any(like.get(name) != result.settings[name] for name in inputs):
        note = f"Note: {options.like} was made of other pictures or masks, of these at another size, or as a frame."
    return _end(result, watcher, options, begun, note)


def texture(options: argparse.Namespace) -> int:
    """Make a texture of a style."""
    begun = time.monotonic()
    from nst_tf.pictures.reading import read_pixels

    _check_outputs(options)
    pixels = read_pixels(options.style)
    _start_tensorflow()
    from nst_tf.images import load_image
    from nst_tf.tools import special

    width, height = options.size
    watcher = _Watcher(keeps_images=bool(options.timelapse))
    style_image = load_image(pixels, max_side=max(width, height), name="the style image")
    result = special.texture(style_image, height=height, width=width, callback=watcher, **_run(options))
    return _end(result, watcher, options, begun)


def reconstruct(options: argparse.Namespace) -> int:
    """Reconstruct a picture from one layer."""
    begun = time.monotonic()
    from nst_tf.pictures.reading import read_pixels

    _check_outputs(options)
    pixels = read_pixels(options.content)
    _start_tensorflow()
    from nst_tf.images import load_image
    from nst_tf.tools import special

    watcher = _Watcher(keeps_images=bool(options.timelapse))
    content_image = load_image(pixels, max_side=options.size, name="the content image")
    result = special.reconstruct(content_image, layer=options.layer, callback=watcher, **_run(options))
    return _end(result, watcher, options, begun)


def regions(options: argparse.Namespace) -> int:
    """Propose masks."""
    from nst_tf.images import save_image
    from nst_tf.pictures.reading import read_pixels

    pixels = read_pixels(options.content)
    _start_tensorflow()
    import numpy as np

    from nst_tf.controls.masks import propose_regions
    from nst_tf.images import load_image

    folder = Path(options.output)
    numbered = (folder / f"region_{number}.png" for number in range(1, options.count + 1))
    _check_no_overwrite(options, folder / "overview.png", *numbered)
    image = load_image(pixels, max_side=options.size, name="the content image")
    masks = propose_regions(image, options.count, softness=options.softness, seed=options.seed or 0)
    # Each region in its own brightness of the picture, beside the masks that --mask takes.
    levels = np.linspace(0.35, 1.0, options.count).reshape(-1, 1, 1)
    save_image(image * (masks * levels).sum(axis=0)[np.newaxis, :, :, np.newaxis], folder / "overview.png")
    for number, mask in enumerate(masks, 1):
        path = save_image(np.repeat(mask[np.newaxis, :, :, np.newaxis], 3, axis=-1), folder / f"region_{number}.png")
        print(f"{path}: {100 * mask.mean():.0f} % of the picture")
    return DONE


def sweep(options: argparse.Namespace) -> int:
    """Make small pictures over two settings."""
    from nst_tf.pictures.reading import read_pixels

    for path in (options.content, *options.style):
        read_pixels(path)
    _start_tensorflow()
    import keras

    from nst_tf.tools import sweep as sweeping

    axes = {"rows": sweeping.parse_axis(options.rows), "columns": sweeping.parse_axis(options.columns)}
    bar, done_so_far = None, 0

    def progress(done: int, cells: int) -> None:
        nonlocal bar, done_so_far
        bar, done_so_far = bar or keras.utils.Progbar(cells, unit_name="picture"), done
        with _stdout_may_close():
            bar.update(done)

    try:
        sweeping.sweep(
            options.content,
            options.style,
            options.output,
            **axes,
            recipe=options.recipe or "studio",
            features=options.features or "auto",
            solver=options.solver or "fast",
            steps=options.steps,
            seed=options.seed or 0,
            size=options.size or sweeping.SIZE,
            callback=progress,
            engine=_engine(options),
            **_changes(options),
        )
    except KeyboardInterrupt:
        _say(f"\nInterrupted; {done_so_far} pictures are in {options.output}.")
        return INTERRUPTED
    _say(f"{Path(options.output) / sweeping.SHEET}; python -m nst_tf promote {options.output} ROW COLUMN -o OUT")
    return DONE


def many(options: argparse.Namespace) -> int:
    """Make many pictures, or say what that would take."""
    from nst_tf.tools.jobs import pairs, read_jobs
    from nst_tf.tools.many import stylize_many

    folders = (options.content_dir, options.style_dir, options.output)
    if bool(options.jobs) == any(folders) or (any(folders) and not all(folders)):
        raise ValueError("Give a job file, or --content-dir, --style-dir and --output.")
    _check_no_overwrite(options, options.report)
    _start_tensorflow()  # before anything else imports it
    defaults = _given(options)

    def jobs() -> Iterator[Job]:
        if options.jobs:
            return read_jobs(options.jobs, **defaults)
        return pairs(*folders, by_name=options.by_name, **defaults)

    found = _planned(jobs(), options)
    if options.dry_run or found.jobs == found.bad:
        return BAD_INPUT if found.bad else DONE
    counts = dict.fromkeys(("made", "skipped", "failed", "interrupted"), 0)
    begun, told = time.monotonic(), -SECONDS_PER_LINE
    try:
        with _workers(options) as executor, _report(options.report) as report:
            for outcome in stylize_many(jobs(), executor=executor, again=options.again):
                counts[outcome.status] += 1
                report(outcome)
                now, done = time.monotonic(), sum(counts.values())
                # Of each that failed, and of the others twice a second: a cluster makes many.
                if outcome.status == "failed" or now - told > SECONDS_PER_LINE or done == found.jobs:
                    _say_outcome(outcome, done, found.jobs, now - begun)
                    told = now
    except KeyboardInterrupt:
        counts["interrupted"] += 1
    seconds = time.monotonic() - begun
    words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    rate = f", {3600 * counts['made'] / seconds:.0f} an hour" if counts["made"] else ""
    _say(f"{words}, in {_duration(seconds)}{rate}{f'; see {options.report}' if options.report else ''}")
    if counts["interrupted"]:
        _say("The same command goes on from there.")
        return INTERRUPTED
    return PROBLEM_FOUND if counts["failed"] else DONE


@contextlib.contextmanager
def _workers(options: argparse.Namespace) -> Iterator[Executor | None]:
    """Start the workers that were asked for, and stop them at the end."""
    from nst_tf.tools.cluster import ray_workers
    from nst_tf.tools.many import worker_processes

    if options.ray:
        _say("Starting Ray ..." if options.ray == "local" else f"Asking the cluster at {options.ray} ...")
        share = {"cpus": options.cpus_per_worker, "gpus": options.gpus_per_worker}
        with ray_workers(options.ray, count=options.workers, **share) as workers:
            _say(f"{workers.count} workers")
            yield workers
    elif (options.workers or 1) > 1:
        executor = worker_processes(options.workers)
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
        executor.shutdown()
    else:
        yield None


@contextlib.contextmanager
def _report(path: str | None) -> Iterator[Callable[[Outcome], None]]:
    """Write what came of each job into a CSV, line by line, after what is there from a run before."""
    if not path:
        yield lambda outcome: None
        return
    with open(path, "a", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        if not file.tell():
            table.writerow(("job", "output", "status", "seconds", "reason"))

        def write(outcome: Outcome) -> None:
            table.writerow(
                (outcome.number + 1, outcome.job.output, outcome.status, f"{outcome.seconds:.2f}", outcome.reason)
            )
            file.flush()

        yield write


def _say_outcome(outcome: Outcome, done: int, jobs: int, seconds: float) -> None:
    left = seconds / done * (jobs - done)
    words = f": {outcome.reason}" if outcome.reason else f" ({outcome.seconds:.1f} s)"
    _say(f"[{done}/{jobs}, {_duration(left)} left] {outcome.job.output} {outcome.status}{words}")


def frames(options: argparse.Namespace) -> int:
    """Repaint the frames of a video."""
    from nst_tf.tools.animations import check_animation

    if options.animation:
        check_animation(options.animation)
    _check_no_overwrite(options, options.animation)
    if options.rate <= 0:
        raise ValueError(f"--rate is {options.rate:g}; expected a positive number of frames a second.")
    _start_tensorflow()
    from nst_tf.tools.frames import HOLD, animate, frame_jobs, stylize_frames

    hold = HOLD if options.hold is None else options.hold
    jobs = frame_jobs(options.frames, options.style, options.output, **_given(options))
    made = stylize_frames(jobs, hold=hold, later_steps=options.later_steps, again=options.again)
    begun = time.monotonic()
    for done, outcome in enumerate(made, 1):
        _say_outcome(outcome, done, len(jobs), time.monotonic() - begun)
        if outcome.status == "interrupted":
            _say("The same command goes on from there.")
            return INTERRUPTED
        if outcome.status == "failed":
            return PROBLEM_FOUND
    if options.animation:
        _say(f"{animate([job.output for job in jobs], options.animation, rate=options.rate)}")
    return DONE


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says of all jobs, as fields of `Job`."""
    names = ("recipe", "features", "solver", "steps", "seed", "size")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return {**given, "changes": _changes(options), "engine": _engine(options).given()}


def _planned(jobs: Iterator[Job], options: argparse.Namespace) -> Plan:
    """Check all jobs, say what is wrong with them, and for a dry run what they would take."""
    from nst_tf.tools.plan import estimate, plan

    found = plan(_with_progress(jobs))
    existing = f", {found.existing} of their outputs exist already" if found.existing else ""
    _say(f"{found.jobs} jobs{existing}")
    for problem in found.problems:
        _say(f"  {problem}")
    if found.bad:
        _say(f"{found.bad} jobs cannot be made as they are{'; the others can' if found.first else ''}.")
    if options.dry_run and found.first:
        cost = estimate(found)
        steps = f"{cost.fixed:.1f} s and {cost.per_step:.3f} s a step"
        _say(f"One picture takes {steps} here, on all cores; all of them about {_duration(cost.seconds)},")
        _say(f"and about {cost.size / 1e6:.1f} MB of disk.")
    return found


def _with_progress(jobs: Iterator[Job]) -> Iterator[Job]:
    """Say now and then how many jobs were looked at, for a million take minutes."""
    said = time.monotonic()
    for number, job in enumerate(jobs):
        if time.monotonic() - said > SECONDS_PER_COUNT:
            said = time.monotonic()
            _say(f"{number} jobs checked ...")
        yield job


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def promote(options: argparse.Namespace) -> int:
    """Make one picture of a sweep at full size."""
    begun = time.monotonic()
    _check_outputs(options)
    _start_tensorflow()
    from nst_tf.tools.sweep import job_of
    from nst_tf.tools.sweep import promote as promoted

    job = job_of(options.folder, options.row, options.column)
    options.content, options.style = job.content, job.styles
    _check_outputs(options)
    watcher = _Watcher(keeps_images=bool(options.timelapse))
    run = {"size": options.size, "engine": _engine(options)}
    result = promoted(options.folder, options.row, options.column, callback=watcher, **run)
    return _end(result, watcher, options, begun)


def weights(options: argparse.Namespace) -> int:
    """Find the published weights, or get them."""
    from nst_tf.networks.weights import find_imagenet_weights

    found = find_imagenet_weights(options.network, source=options.source)
    _say(f"{options.network.upper()}{'' if found.exact else ' in 8 bits'}, {found.origin}: {found.path}")
    return DONE


def doctor(options: argparse.Namespace) -> int:
    """Look for what could keep a run from going well."""
    from nst_tf.tools.doctor import PROBLEM, examine

    levels = []
    for finding in examine():
        print(finding, flush=True)
        levels.append(finding.level)
    return PROBLEM_FOUND if PROBLEM in levels else DONE


def recipes(options: argparse.Namespace) -> int:
    """List or explain recipes."""
    from nst_tf.ground.startup import start_tensorflow

    start_tensorflow()
    from nst_tf.published.explain import explain, overview
    from nst_tf.recipes import RECIPES, find_recipe

    if options.name is None:
        print(overview(list(RECIPES.values())))
    else:
        print(explain(find_recipe(options.name), plain=True), end="")
    return DONE


def _start_tensorflow() -> None:
    from nst_tf.ground.startup import start_tensorflow

    print("Starting TensorFlow ...", flush=True)
    start_tensorflow()
    warnings.showwarning = lambda message, *_: _say(f"Note: {message}")


def _say(text: str = "") -> None:
    with _stdout_may_close():
        print(text, flush=True)


@contextlib.contextmanager
def _stdout_may_close() -> Iterator[None]:
    """Go on in silence if whoever read the output has gone, for the picture is worth more than the report."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_outputs(options: argparse.Namespace) -> None:
    from nst_tf.images import save_options
    from nst_tf.tools.animations import check_animation

    save_options(options.output)
    if options.timelapse:
        check_animation(options.timelapse)
    if not options.timelapse and (options.timelapse_curve or options.timelapse_megabytes):
        raise ValueError("--timelapse-curve and --timelapse-megabytes say how --timelapse is written; give that too.")
    paths = [path and os.path.realpath(path) for path in (options.checkpoint, options.resume)]
    checkpoint = None if paths[0] == paths[1] else options.checkpoint
    _check_no_overwrite(options, options.output, options.plot, options.timelapse, checkpoint)


def _check_no_overwrite(options: argparse.Namespace, *outputs: str | Path | None) -> None:
    """Raise ValueError if an output is one of the files that the command reads, or cannot be written."""
    from nst_tf.ground.files import check_no_overwrite

    inputs = []
    for name in ("content", "style", "mask", "style_mask", "like", "start", "resume", "jobs", "frames"):
        given = getattr(options, name, None)
        inputs += given if isinstance(given, list) else [given]
    check_no_overwrite(outputs, inputs)


def _check_masks(options: argparse.Namespace) -> None:
    from nst_tf.pictures.reading import read_pixels

    for option, masks in (("--mask", options.mask), ("--style-mask", options.style_mask)):
        if masks and len(masks) != len(options.style):
            raise ValueError(
                f"{option} comes once for each style picture, in their order; got {len(masks)} masks for "
                f"{len(options.style)} pictures."
            )
        for path in masks:
            if path != REST:
                read_pixels(path)
    if options.mask.count(REST) > 1 or options.mask == [REST] or REST in options.style_mask:
        raise ValueError(f"'--mask {REST}' is what the other masks leave, so it stands once and beside others.")


def _styles(options: argparse.Namespace, content_image: tf.Tensor, style_images: list[tf.Tensor]) -> list[Style]:
    """Put together the styles with their weights and masks."""
    from nst_tf.controls.masks import load_mask, rest_of
    from nst_tf.controls.styles import Style

    count = len(style_images)
    if options.style_weights and len(options.style_weights) != count:
        raise ValueError(f"{len(options.style_weights)} style weights are given for {count} style pictures.")
    size = tuple(content_image.shape[1:3])
    masks: list[Any] = [None] * count
    for index, path in enumerate(options.mask):
        masks[index] = path if path == REST else load_mask(path, size=size, softness=options.softness)
    if REST in options.mask:
        masks[options.mask.index(REST)] = rest_of(*(mask for mask in masks if not isinstance(mask, str)))
    style_masks: list[Any] = [None] * count
    for index, path in enumerate(options.style_mask):
        size = tuple(style_images[index].shape[1:3])
        style_masks[index] = load_mask(path, size=size, softness=options.softness)
    weights = options.style_weights or [None] * count
    return [Style(*parts) for parts in zip(style_images, weights, masks, style_masks, strict=True)]


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of the recipe that the command line changes."""
    from nst_tf.published.fields import parse_change

    changes = dict(parse_change(text) for text in options.set)
    for name in ("color", "style_scale"):
        if getattr(options, name, None) is not None:
            changes[name] = getattr(options, name)
    return changes


def _engine(options: argparse.Namespace) -> Engine:
    """Return the engine that the command line asks for."""
    from nst_tf.engine.run import Engine

    given = {name: getattr(options, name, None) for name in Engine.__dataclass_fields__}
    return Engine(**{name: value for name, value in given.items() if value is not None})


def _run(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the command line says of a run."""
    run = {"features": options.features or "auto", "steps": options.steps, "seed": options.seed or 0}
    return {**run, "engine": _engine(options), **_changes(options)}


def _start(start: str | None) -> str | tf.Tensor | None:
    """Return the start that the command line names: a word, or the picture of a path."""
    from nst_tf.images import load_image
    from nst_tf.published.records import STARTS

    if start is None or start in STARTS:
        return start
    if not os.path.exists(start) and "://" not in start:
        raise ValueError(f"There is no start {start!r}: neither a picture's path nor one of {', '.join(STARTS)}.")
    return load_image(start, name="the start picture")


def _end(result: Result, watcher: _Watcher, options: argparse.Namespace, begun: float, note: str = "") -> int:
    """Save everything, and say in one line what was made."""
    watcher.end_line()
    if note:
        _say(note)
    # There is a picture now, and a second Ctrl-C should not take it away.
    signals = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        saved_as = _saved(result, options.output)
        problem = _save_others(result, watcher, options)
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
    height, width = result.image.shape[1:3]
    _say(
        f"{saved_as}: {width} × {height} pixels, {result.steps} steps in {time.monotonic() - begun:.1f} s "
        f"with {result.features} features in {result.precision}"
        f"{'.' if result.status == 'done' else f'; {result.status}, best picture kept.'}"
    )
    if problem or saved_as != options.output:
        return PROBLEM_FOUND
    return INTERRUPTED if result.status == "interrupted" else DONE


def _saved(result: Result, path: str) -> str:
    """Save the picture, under another name if it does not go under the one asked for; return the name."""
    try:
        result.save(path)
        return path
    except (OSError, ValueError) as error:
        name = f"stylized-{time.strftime('%Y%m%d-%H%M%S')}.png"
        for folder in (Path(path).parent, Path.cwd(), Path.home(), Path(tempfile.gettempdir())):
            with contextlib.suppress(OSError, ValueError):
                rescued = str(result.save(folder / name))
                _say(f"{path!r} could not be written ({error}), so the picture is saved under another name.")
                return rescued
        raise


def _save_others(result: Result, watcher: _Watcher, options: argparse.Namespace) -> bool:
    """Save plot and time-lapse; say what could not be saved, and return whether there was such."""
    from nst_tf.ground.files import atomic_write

    problem = False
    try:
        if options.plot:
            from nst_tf.display import plot_history

            with atomic_write(options.plot) as temporary:
                plot_history(result.history).savefig(temporary, dpi=120, format="png")
        if options.timelapse:
            from nst_tf.tools.animations import timelapse

            timelapse(
                [*watcher.images, result.image],
                options.timelapse,
                history=result.history if options.timelapse_curve else None,
                steps=[*watcher.steps, result.steps],
                max_megabytes=options.timelapse_megabytes,
            )
    except (OSError, ValueError) as error:
        _say(f"Problem: {error}")
        problem = True
    return problem


class _Watcher:
    """A callback that draws a progress bar, and keeps pictures for a time-lapse if asked to."""

    def __init__(self, *, keeps_images: bool):
        self.images = []
        self.steps = []
        self._keeps_images = keeps_images
        self._bar = None
        self._line_is_open = False

    def __call__(self, step: Step) -> None:
        if self._bar is None:
            import keras

            self._bar = keras.utils.Progbar(step.steps, stateful_metrics=["loss", "content", "style"], unit_name="step")
        values = [("loss", step.losses.total), ("content", step.losses.content), ("style", step.losses.style)]
        with _stdout_may_close():
            self._bar.update(step.step, values)
        self._line_is_open = step.step < step.steps
        if self._keeps_images:
            import numpy as np

            from nst_tf.pictures.reading import read_pixels

            frame = np.clip(step.image(), 0, 1)
            if np.isfinite(frame).all():
                self.images.append(read_pixels(frame, max_side=FRAME_SIDE))
                self.steps.append(step.step)
            if len(self.images) > MOST_FRAMES:
                del self.images[1::2], self.steps[1::2]

    def end_line(self) -> None:
        """Go to a new line if the bar stopped before its end."""
        if self._line_is_open:
            _say()
