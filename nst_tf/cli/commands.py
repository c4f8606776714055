"""What the commands of the command line do; `nst_tf.cli.parser` reads the command line itself."""

from __future__ import annotations

import argparse
import contextlib
import csv
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nst_tf
from nst_tf.ground.startup import start_tensorflow
from nst_tf.tools.cluster import cluster_workers
from nst_tf.tools.jobs import Job, pairs, read_jobs
from nst_tf.tools.many import Outcome, stylize_many, worker_processes

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from nst_tf.tools.plan import Plan
    from nst_tf.transfer import Result, Step

DONE, PROBLEM_FOUND, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
# Options that name files to be read.
READ = ("content", "style", "styles", "masks", "style_masks", "start", "like", "engine.resume", "jobs", "frames")
# Of a time-lapse, kept while the run goes on: a long one would otherwise fill the memory with images.
MOST_FRAMES = 80
FRAME_SIDE = 320
SECONDS_PER_LINE = 0.5
SECONDS_PER_LOOK, SECONDS_PER_LOGGED_LINE = 0.1, 5.0
SECONDS_PER_COUNT = 2.0
REPORT = ("job", "output", "status", "seconds", "reason")  # its columns


def stylize(options: argparse.Namespace) -> int:
    """Repaint one image in the style of another, or of several."""
    watcher = _Watcher(options)
    # What is wrong with a file is found before TensorFlow is imported, which takes seconds.
    from nst_tf.tools.inputs import cached_inputs, read_inputs

    _check_outputs(options)
    like = nst_tf.settings_of(options.like) if options.like else {}
    size = {"size": max(like["size"])} if like else {}
    with cached_inputs():
        read_inputs(Job(**{**size, **_given(options)}))
        _start_tensorflow()
        from nst_tf.tools.running import check_job, run

        given = _given(options, with_set=True)
        job = Job.like(options.like, **given) if like else Job(**given)
        check_job(job)
        result = run(job, watcher)
    watcher.end_line()
    made = result.settings
    if like and like["network"] != made["network"]:
        _say(f"Note: {options.like} was made with {like['network']} features, this with {made['network']}.")
    if like and like["precision"] != made["precision"]:
        _say(f"Note: {options.like} was made in {like['precision']}, this in {made['precision']}.")
    inputs = ("content", "style", "masks", "start", "previous")
    if like and options.size in (None, max(like["size"])) and any(like.get(name) != made[name] for name in inputs):
        _say(f"Note: {options.like} was made of other images or masks, or as a frame.")
    return _end(result, watcher, options)


def texture(options: argparse.Namespace) -> int:
    """Style without content: a texture of any size."""
    width, height = options.size
    return _special("texture", options.style, max(width, height), options, width=width, height=height)


def reconstruct(options: argparse.Namespace) -> int:
    """Content without style: what one layer knows of an image."""
    return _special("reconstruct", options.content, options.size, options, layer=options.layer)


def _special(name: str, path: str, max_side: int, options: argparse.Namespace, **own: Any) -> int:
    """Make an image by a function of `nst_tf.tools.special`, from one image and keywords of its own."""
    watcher = _Watcher(options)
    from nst_tf.pictures.reading import read_pixels

    _check_outputs(options)
    pixels = read_pixels(path)
    _start_tensorflow()
    from nst_tf.tools import special

    given = _given(options, with_set=True)
    own |= {word: given[word] for word in ("features", "steps", "seed") if word in given}
    image = nst_tf.load_image(pixels, max_side=max_side, name="the image")
    result = getattr(special, name)(image, callback=watcher, **own, **given["changes"], **given["engine"])
    return _end(result, watcher, options)


def regions(options: argparse.Namespace) -> int:
    """Propose masks: regions of like color."""
    from nst_tf.ground.files import user_path
    from nst_tf.pictures.reading import read_pixels

    pixels = read_pixels(options.content)
    _start_tensorflow()
    import numpy as np

    folder = user_path(options.output)
    image = nst_tf.load_image(pixels, max_side=options.size, name="the content image")
    masks = nst_tf.propose_regions(image, options.count, softness=options.softness, seed=options.seed or 0)
    paths = [folder / f"region_{number}.png" for number in range(1, options.count + 1)]
    _check_no_overwrite(options, folder / "overview.png", *paths)
    # Each region in its own brightness of the image, beside the masks that --mask takes.
    levels = np.linspace(0.35, 1.0, options.count).reshape(-1, 1, 1)
    nst_tf.save_image(image * (masks * levels).sum(axis=0)[np.newaxis, :, :, np.newaxis], folder / "overview.png")
    for path, mask in zip(paths, masks, strict=True):
        nst_tf.save_image(np.repeat(mask[np.newaxis, :, :, np.newaxis], 3, axis=-1), path)
        _say(f"{path}: {100 * mask.mean():.0f} % of the picture")
    return DONE


def sweep(options: argparse.Namespace) -> int:
    """Small images over two settings, in one figure."""
    from nst_tf.tools.inputs import cached_inputs, read_inputs

    with cached_inputs():
        read_inputs(Job(**{"size": 192, **_given(options)}))
        _start_tensorflow()
        from nst_tf.tools import sweep as sweeping

        job = Job(**_given(options, with_set=True))
        axes = {"rows": sweeping.parse_axis(options.rows), "columns": sweeping.parse_axis(options.columns)}
        cells = sweeping.cells_of(job, options.folder, **axes)
        progress = _Progress("image")
        try:
            sweeping.sweep(job, options.folder, **axes, callback=progress)
        except KeyboardInterrupt:
            progress.end_line()
            _say(f"Interrupted; {progress.done} images are in {options.folder}. The same command goes on from there.")
            return INTERRUPTED
    _say(f"{Path(options.folder) / sweeping.SHEET}; the last of them at full size:")
    _say(sweeping.large_again(cells[-1]))
    return DONE


def many(options: argparse.Namespace) -> int:
    """Many images: a job file, or every pair of two folders."""
    folders = (options.content_dir, options.style_dir, options.folder)
    if bool(options.jobs) == any(folders) or (any(folders) and not all(folders)):
        raise ValueError("Give a job file, or --content-dir, --style-dir and --output.")
    if options.cluster and options.workers:
        raise ValueError("Give --workers for processes on this machine, or --cluster, whose workers are started there.")
    _check_no_overwrite(options, options.report)
    if options.report:
        _check_report(options.report)
    if options.cluster or options.workers:  # this process would take a GPU's memory from the workers
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    _start_tensorflow()  # before anything else imports it
    given = _given(options, with_set=True)

    def jobs() -> Iterator[Job]:
        if options.jobs:
            return read_jobs(options.jobs, **given)
        return pairs(*folders, by_name=options.by_name, **given)

    found = _planned(jobs(), options)
    if options.dry_run or found.jobs == found.bad:
        return BAD_INPUT if found.bad else DONE
    counts = dict.fromkeys(("made", "skipped", "failed", "interrupted"), 0)
    begun, told, report = time.monotonic(), -SECONDS_PER_LINE, os.path.expanduser(options.report or os.devnull)
    try:
        # Excel knows UTF-8 by the mark at the beginning, which is written once.
        with _workers(options) as executor, open(report, "a", newline="", encoding="utf-8-sig") as file:
            table = csv.writer(file)
            if not file.tell():
                table.writerow(REPORT)
            for outcome in stylize_many(jobs(), executor=executor, again=options.again):
                counts[outcome.status] += 1
                made = outcome.job.output, outcome.status, f"{outcome.seconds:.2f}", outcome.reason
                table.writerow((outcome.number + 1, *made))
                file.flush()
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


def _check_report(path: str) -> None:
    """Raise ValueError unless lines of a report can go to a file: it is a CSV, and new or a report already."""
    if not path.lower().endswith(".csv"):
        raise ValueError(f"A report is a CSV, and {path!r} does not end in .csv.")
    with contextlib.suppress(FileNotFoundError), open(os.path.expanduser(path), "rb") as file:
        begins = file.readline(1000).decode("utf-8-sig", errors="replace")
        if begins and begins.strip() != ",".join(REPORT):
            raise ValueError(
                f"{path!r} is not a report as nst_tf writes it, so nothing was added to it. Choose another name."
            )


@contextlib.contextmanager
def _workers(options: argparse.Namespace) -> Iterator[Executor | None]:
    """Connect to the workers that were asked for, or start them and stop them at the end."""
    if options.cluster:
        _say(f"Connecting to the cluster at {options.cluster} ...")
        with cluster_workers(options.cluster) as workers:
            _say("Connected")
            yield workers
    elif (options.workers or 1) > 1:
        with worker_processes(options.workers) as executor:
            try:
                yield executor
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                for child in multiprocessing.active_children():
                    child.terminate()
                raise
    else:
        yield None


def _say_outcome(outcome: Outcome, done: int, jobs: int, seconds: float) -> None:
    left = seconds / done * (jobs - done)
    words = f": {outcome.reason}" if outcome.reason else f" ({outcome.seconds:.1f} s)"
    _say(f"[{done}/{jobs}, {_duration(left)} left] {outcome.job.output} {outcome.status}{words}")


def frames(options: argparse.Namespace) -> int:
    """A video, each of its frames started from the one before."""
    from nst_tf.ground.checks import number
    from nst_tf.tools.animations import is_film

    folder, film = options.folder, options.folder if is_film(options.folder) else None
    if film:
        folder = f"{os.path.splitext(film)[0]}_frames"
    _check_no_overwrite(options, film)
    number(options.rate, "--rate", least=0.01)
    _start_tensorflow()
    given = _given(options, with_set=True)
    jobs = nst_tf.frame_jobs(options.frames, given.pop("styles"), folder, **given)
    begun = time.monotonic()
    for done, outcome in enumerate(nst_tf.stylize_frames(jobs, hold=options.hold, again=options.again), 1):
        _say_outcome(outcome, done, len(jobs), time.monotonic() - begun)
        if outcome.status == "interrupted":
            _say("The same command goes on from there.")
            return INTERRUPTED
        if outcome.status == "failed":
            return PROBLEM_FOUND
    if film:
        source = os.path.expanduser(options.frames)
        like = source if os.path.isfile(source) else None
        made = nst_tf.animate([job.output for job in jobs], film, rate=options.rate, like=like)
        _say(f"{made}: {len(jobs)} frames, which are in {folder} too")
    return DONE


def _given(options: argparse.Namespace, *, with_set: bool = False) -> dict[str, Any]:
    """Return the options that are called as fields of `Job`; a dot leads into the records "changes" and "engine".

    With those of --set, which TensorFlow is needed for, if asked.
    """
    given: dict[str, Any] = {"changes": {}, "engine": {}}
    if with_set:
        from nst_tf.published.fields import parse_change

        given["changes"] = dict(map(parse_change, options.set))
    for name, value in vars(options).items():
        record, _, field = name.rpartition(".")
        if value is not None and record:
            given[record][field] = value
        elif value is not None and name in Job.__dataclass_fields__:
            given[name] = value
    return given


def _planned(jobs: Iterator[Job], options: argparse.Namespace) -> Plan:
    """Check all jobs, say what is wrong with them, and for a dry run what they would take."""
    from nst_tf.tools.plan import estimate, plan

    found = plan(_with_progress(jobs))
    existing = f", {found.existing} of their outputs are already there" if found.existing else ""
    _say(f"{found.jobs} jobs{existing}")
    for problem in found.problems:
        _say(f"  {problem}")
    if found.bad:
        _say(f"{found.bad} jobs cannot be made as they are{'; the others can' if found.first else ''}.")
    if options.dry_run and found.first:
        cost = estimate(found)
        steps = f"{cost.fixed:.1f} s and {cost.per_step:.3f} s a step"
        _say(f"One image takes {steps} here, on all cores; all of them about {_duration(cost.seconds)},")
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


def weights(options: argparse.Namespace) -> int:
    """Get the ImageNet weights of VGG19 or VGG16 now."""
    from nst_tf.networks.weights import find_imagenet_weights

    found = find_imagenet_weights(options.network, source=options.source)
    _say(f"{options.network.upper()}{'' if found.exact else ' in 8 bits'}, {found.origin}: {found.path}")
    return DONE


def doctor(options: argparse.Namespace) -> int:
    """Look for what could keep a run from going well here."""
    from nst_tf.tools.doctor import PROBLEM, examine

    levels = []
    for finding in examine():
        _say(str(finding))
        levels.append(finding.level)
    return PROBLEM_FOUND if PROBLEM in levels else DONE


def recipes(options: argparse.Namespace) -> int:
    """List the named recipes, or explain one."""
    start_tensorflow()
    from nst_tf.recipes import find_recipe

    if options.name is None:
        width = max(map(len, nst_tf.RECIPES))
        _say("\n".join(f"{name:{width}}  {recipe.title}" for name, recipe in nst_tf.RECIPES.items()))
    else:
        _say(nst_tf.explain(find_recipe(options.name), plain=True).rstrip("\n"))
    return DONE


def _start_tensorflow() -> None:
    _say("Starting TensorFlow ...")
    start_tensorflow()
    warnings.showwarning = lambda message, *_: _say(f"Note: {message}")


def _say(text: str = "", end: str = "\n") -> None:
    """Print, or go on in silence if whoever read the output has gone: the image is worth more than the report."""
    try:
        print(text, end=end, flush=True)
    except OSError:  # the reader, the terminal or the space on the disk
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_outputs(options: argparse.Namespace) -> None:
    from nst_tf.images import save_options
    from nst_tf.tools.animations import check_animation

    save_options(options.output)
    if options.timelapse:
        check_animation(options.timelapse)
    if options.plot and not options.plot.lower().endswith(".png"):
        raise ValueError(f"--plot writes a PNG, and {options.plot!r} does not end in .png.")
    checkpoint, resume = (vars(options)[f"engine.{name}"] for name in ("checkpoint", "resume"))
    if checkpoint and resume and os.path.realpath(checkpoint) == os.path.realpath(resume):
        checkpoint = None  # it goes on being written
    _check_no_overwrite(options, options.output, options.plot, options.timelapse, checkpoint)


def _check_no_overwrite(options: argparse.Namespace, *outputs: str | Path | None) -> None:
    """Raise ValueError if an output is one of the files that the command reads, or cannot be written."""
    from nst_tf.ground.files import check_no_overwrite

    given = [vars(options).get(name) for name in READ]
    inputs = [path for one in given for path in (one if isinstance(one, list) else [one])]
    check_no_overwrite(outputs, inputs)


def _end(result: Result, watcher: _Watcher, options: argparse.Namespace) -> int:
    """Save everything, and say in one line what was made."""
    watcher.end_line()
    # There is an image now, and a second Ctrl-C should not take it away.
    signals = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        saved_as = _saved(result, options.output)
        problem = _save_others(result, watcher, options)
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)
    height, width = result.image.shape[1:3]
    _say(
        f"{saved_as}: {width} × {height} pixels, {result.steps} steps in {time.monotonic() - watcher.begun:.1f} s "
        f"with {result.features} features in {result.precision}"
        f"{'.' if result.status == 'done' else f'; {result.status}, best picture kept.'}"
    )
    if problem or saved_as != options.output:
        return PROBLEM_FOUND
    return INTERRUPTED if result.status == "interrupted" else DONE


def _saved(result: Result, path: str) -> str:
    """Save the image, under another name if it does not go under the one asked for; return the name."""
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

    try:
        if options.plot:
            with atomic_write(options.plot) as temporary:
                nst_tf.plot_history(result.history).savefig(temporary, dpi=120, format="png")
        if options.timelapse:
            nst_tf.timelapse([*watcher.images, result.image], options.timelapse)
        return False
    except (OSError, ValueError) as error:
        _say(f"Problem: {error}")
        return True


class _Progress:
    """Says how far a command is: on a terminal in one line that is written over, elsewhere in a line now and then."""

    def __init__(self, unit: str):
        self.done, self._unit = 0, unit
        self.begun, self._first, self._told = time.monotonic(), 0.0, float("-inf")
        self._terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._line_is_open = False

    def __call__(self, done: int, count: int, words: str = "") -> None:
        now, self.done = time.monotonic(), done
        self._first = self._first or now
        pause = SECONDS_PER_LOOK if self._terminal else SECONDS_PER_LOGGED_LINE
        if done < count and now - self._told < pause:
            return
        self._told = now
        left = (now - self._first) / max(done - 1, 1) * (count - done)
        text = f"{self._unit} {done}/{count}{words}" + (f", {_duration(left)} left" if left else "")
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            text = f"\r{text[:width]:{width}}"
        self._line_is_open = self._terminal and done < count
        _say(text, end="" if self._line_is_open else "\n")

    def end_line(self) -> None:
        """Go to a new line if the cursor is not at the beginning of one."""
        if self._line_is_open:
            _say()
            self._line_is_open = False


class _Watcher(_Progress):
    """A callback that says how far a run is, and keeps images for a time-lapse if asked to."""

    def __init__(self, options: argparse.Namespace):
        super().__init__("step")
        self.images, self._keeps_images = [], bool(options.timelapse)

    def __call__(self, step: Step) -> None:
        losses = step.losses
        words = f", loss {losses.total:.4g}: content {losses.content:.4g}, style {losses.style:.4g}"
        super().__call__(step.step, step.steps, words)
        if self._keeps_images and (step.step - 1) % -(-step.steps // MOST_FRAMES) == 0:
            import numpy as np

            from nst_tf.pictures.reading import read_pixels

            frame = np.clip(step.image(), 0, 1)
            if np.isfinite(frame).all():
                self.images.append(read_pixels(frame, max_side=FRAME_SIDE))
