"""Animations of how an image came to be, and films: their frames, and films of repainted frames."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

from nst_tf.ground.checks import number, to_uint8
from nst_tf.ground.files import atomic_write, user_path
from nst_tf.images import save_image
from nst_tf.pictures.reading import read_pixels
from nst_tf.tools.jobs import image_suffixes

# By suffix, how Pillow writes the format.
ANIMATIONS = {".gif": {"format": "GIF"}, ".webp": {"format": "WEBP", "quality": 80, "method": 4}}
FILM = ".mp4"
KINDS = (FILM, *ANIMATIONS)
OTHER_FILMS = (".avi", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".webm", ".wmv")
# What a film counts in where the images of an animation stay for different times.
SHORTEST_SECONDS = 0.02
# What phones and browsers play: H.264 with colors at half the resolution, which takes even sides, and the colors of HD.
H264 = ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709"]
H264 += ["-color_primaries", "bt709", "-color_trc", "bt709", "-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p"]
H264 += ["-movflags", "+faststart", "-f", "mp4"]


def check_animation(path: str | os.PathLike, kinds: Iterable[str] = ANIMATIONS) -> None:
    """Raise ValueError if no animation is written under a name that ends as this one."""
    if Path(path).suffix.lower() not in kinds:
        raise ValueError(f"An animation is written as {' or '.join(kinds)}; {os.fspath(path)!r} ends otherwise.")


def timelapse(
    images: Sequence[Any],
    path: str | os.PathLike,
    *,
    seconds: float = 4.0,
    hold_seconds: float = 1.5,
    max_side: int = 320,
    max_frames: int = 40,
) -> Path:
    """Write an animation that loops: how the image came to be.

    Args:
        images: Images in order, each (1, height, width, 3), RGB in [0, 1]; those from a smaller size are enlarged.
        path: Ends in .gif, or in .webp for a smaller file with all colors.
        seconds: How long one round takes, before the last image is held.
        hold_seconds: How long the last image stays.
        max_side: Longest side of the animation in pixels; with `max_frames` it bounds the file's size.
        max_frames: Evenly chosen among the images; the first and last are always there.

    Returns:
        The path.

    Raises:
        ValueError: If there is no image, or the path ends otherwise.
    """
    path = user_path(path)
    check_animation(path)
    if not len(images):
        raise ValueError("There is no image to animate.")
    chosen = np.unique(np.linspace(0, len(images) - 1, max_frames).round().astype(int))
    frames = [Image.fromarray(to_uint8(images[index])) for index in chosen]
    frames[-1].thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    frames = [frame.resize(frames[-1].size, Image.Resampling.LANCZOS) for frame in frames]
    return _write_animation(frames, path, [seconds / len(frames)] * (len(frames) - 1) + [hold_seconds])


def _write_animation(frames: Sequence[Image.Image], path: Path, seconds: Sequence[float]) -> Path:
    options = ANIMATIONS[path.suffix.lower()]
    unit = 10 if options["format"] == "GIF" else 1  # milliseconds that the format counts in
    durations = [max(1, count) * unit for count in _counts(seconds, unit / 1000)]
    if options["format"] == "GIF":
        # Pillow's own choice, median cut, is a little truer and takes fifty times as long.
        frames = [frame.quantize(method=Image.Quantize.FASTOCTREE) for frame in frames]
    animation = io.BytesIO()
    frames[0].save(animation, save_all=True, append_images=frames[1:], duration=durations, loop=0, **options)
    with atomic_write(path) as temporary:
        temporary.write_bytes(animation.getvalue())
    return path


def _counts(seconds: Sequence[float], unit: float) -> list[int]:
    """Return how many units of time each image stays, rounded so that errors do not add up."""
    ends = [round(end / unit) for end in itertools.accumulate(seconds)]
    return [end - before for before, end in itertools.pairwise([0, *ends])]


def is_film(path: str | os.PathLike) -> bool:
    """Return whether a path names a film or an animation, not a folder; raise ValueError if none such is written."""
    suffix = Path(path).suffix.lower()
    if suffix == FILM:
        _ffmpeg()
    elif suffix in OTHER_FILMS or suffix in image_suffixes():
        check_animation(path, KINDS)
    return suffix in KINDS


def extract_frames(source: str | os.PathLike, folder: str | os.PathLike) -> Path:
    """Write the images of an animation or a film as 00001.png and so on below a folder, and return where."""
    source = user_path(source)
    folder = user_path(folder) / f"frames of {source.name}"
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("*.png"):  # of a longer film of that name
        earlier.unlink()
    if source.suffix.lower() not in image_suffixes():
        # At an even rate from the sound's beginning on, and with square pixels.
        even = f"fps={_rate(source)}:start_time=0,scale=trunc(iw*sar):ih,setsar=1"
        _run_ffmpeg(["-i", source, "-map", "0:v:0", "-vf", even, folder / "%05d.png"])
        return folder
    for index, frame in enumerate(_images(source), 1):
        save_image(read_pixels(frame, name=f"frame {index} of {source}"), folder / f"{index:05}.png")
    return folder


def _images(animation: str | os.PathLike) -> Iterator[Image.Image]:
    try:
        with Image.open(animation) as opened:
            yield from (image.copy() for image in ImageSequence.Iterator(opened))
    except OSError as error:
        raise ValueError(f"{os.fspath(animation)!r} cannot be read as an animation ({error}).") from error


def animate(
    paths: Sequence[str | os.PathLike],
    path: str | os.PathLike,
    *,
    rate: float = 12,
    like: str | os.PathLike | None = None,
) -> Path:
    """Write images as a film, or as an animation that loops.

    Args:
        paths: Of the images, PNGs of one size in order.
        path: Ends in .gif, .webp, or .mp4 for a film in H.264, which needs the extra `video`.
        rate: Images a second, where `like` does not say it.
        like: The film or animation that they were taken from: each stays as long as there, and a film has its sound.

    Returns:
        The path.

    Raises:
        ValueError: If there is no image, the path ends otherwise, `like` has another number of images, or ffmpeg fails.
    """
    path, seconds, sound = user_path(path), [1 / number(rate, "rate", least=0.01)] * len(paths), []
    check_animation(path, KINDS)
    if not len(paths):
        raise ValueError("There is no image to animate.")
    if like is not None and Path(like).suffix.lower() in image_suffixes():
        seconds = [(image.info.get("duration") or 1000 / rate) / 1000 for image in _images(like)]
        if len(seconds) != len(paths):
            raise ValueError(f"{os.fspath(like)!r} has {len(seconds)} images, and there are {len(paths)} to animate.")
    elif like is not None:
        seconds = [1 / _rate(like)] * len(paths)
        sound = ["-i", like, "-map", "0:v", "-map", "1:a:0?", "-c:a", "aac"]
    if path.suffix.lower() != FILM:
        return _write_animation([Image.fromarray(to_uint8(read_pixels(each))) for each in paths], path, seconds)
    unit = seconds[0] if len(set(seconds)) == 1 else SHORTEST_SECONDS  # all frames of a film are equally long
    images = (count * Path(each).read_bytes() for each, count in zip(paths, _counts(seconds, unit), strict=True))
    with atomic_write(path) as temporary:
        _run_ffmpeg(["-f", "image2pipe", "-framerate", 1 / unit, "-i", "-", *sound, *H264, temporary], images)
    return path


def _ffmpeg() -> str:
    """Return the path of ffmpeg; raise ValueError if it is not installed."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        raise ValueError("Films need ffmpeg: pip install 'nst_tf[video]' or imageio-ffmpeg brings it.") from None


def _run_ffmpeg(arguments: list[Any], images: Iterable[bytes] = ()) -> None:
    """Run ffmpeg with images as its standard input; raise ValueError with its last words if it fails."""
    command = list(map(str, (_ffmpeg(), "-v", "error", "-y", *arguments)))
    with tempfile.TemporaryFile() as log, subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log) as process:
        with contextlib.suppress(BrokenPipeError):  # what it died of is in the log
            process.stdin.writelines(images)
            process.stdin.close()
        if process.wait():
            log.seek(0)
            words = log.read().decode(errors="replace").split("\n")
            raise ValueError(f"ffmpeg failed: {next(filter(None, reversed(words)), process.returncode)}")


def _rate(film: str | os.PathLike) -> float:
    """Return how many frames a second a film has."""
    said = subprocess.run([_ffmpeg(), "-i", film], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr
    if found := re.search(rb"Stream .*Video: .* ([\d.]+) fps", said):
        return float(found[1])
    raise ValueError(f"{os.fspath(film)!r} cannot be read as a video.")
