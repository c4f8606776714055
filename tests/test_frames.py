import itertools
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from conftest import smooth_picture, striped_picture
from PIL import Image, ImageSequence

import nst_tf
from nst_tf.cli.parser import main
from nst_tf.controls.previous import Previous
from nst_tf.images import load_image, save_image
from nst_tf.tools.animations import animate, extract_frames, is_film
from nst_tf.tools.frames import frame_jobs, stylize_frames, unchanged
from nst_tf.transfer import stylize

OPTIONS = {"features": "slim", "size": 64, "steps": 40}


@pytest.fixture
def video(tmp_path):
    """Five frames in which a square moves over a still ground; numbered so that sorting by text would shuffle them."""
    ground = smooth_picture(48, 64)
    for number in range(5):
        frame = ground.copy()
        frame[:, 10:20, 8 * number + 4 : 8 * number + 14] = [0.9, 0.1, 0.1]
        save_image(frame, tmp_path / "frames" / f"frame_{number + 7}.png")
    save_image(striped_picture(56, 48), tmp_path / "style.png")
    return tmp_path


@pytest.fixture
def moving(tmp_path):
    """An animation whose images stay for different times."""
    pictures = [Image.fromarray(np.full((45, 61, 3), level, np.uint8)) for level in (10, 90, 150, 240)]
    path = tmp_path / "moving.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[40, 40, 400, 40], lossless=True)
    return path


@pytest.fixture
def ffmpeg():
    """Runs ffmpeg and returns what it says."""
    path = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()

    def run(*arguments):
        done = subprocess.run([path, "-y", *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


@pytest.fixture
def clip(tmp_path, ffmpeg):
    """A second of film with sound, 8 frames of odd sides, as a phone turns it."""
    pictures = ["-f", "lavfi", "-i", "testsrc=size=67x49:rate=8:duration=1", "-f", "lavfi", "-i", "sine=duration=1"]
    ffmpeg(*pictures, "-pix_fmt", "yuv444p", "-c:a", "aac", tmp_path / "upright.mp4")
    ffmpeg("-display_rotation", "90", "-i", tmp_path / "upright.mp4", "-c", "copy", tmp_path / "clip.mp4")
    return tmp_path / "clip.mp4"


def jobs_of(video, folder="out", **options):
    return frame_jobs(video / "frames", [video / "style.png"], video / folder, **{**OPTIONS, **options})


def pixels(path):
    return np.asarray(Image.open(path)).astype(float)


def flicker(jobs):
    """Mean change from frame to frame of what the frames themselves leave still."""
    changes = []
    for before, after in itertools.pairwise(jobs):
        still = unchanged(load_image(after.content), load_image(before.content)) > 0.9
        changes.append(np.abs(pixels(after.output) - pixels(before.output))[still].mean())
    return np.mean(changes)


def test_frames_are_taken_by_their_numbers(video):
    assert [os.path.basename(job.content) for job in jobs_of(video)] == [
        f"frame_{number}.png" for number in range(7, 12)
    ]


@pytest.mark.slow
def test_held_frames_flicker_less_than_those_left_free_and_those_less_than_separate_pictures(video):
    made = {}
    for name, hold in (("held", 100.0), ("free", 0.0)):
        made[name] = jobs_of(video, name)
        assert {outcome.status for outcome in stylize_frames(made[name], hold=hold)} == {"made"}
    separate = jobs_of(video, "separate")
    for job in separate:
        list(stylize_frames([job]))
    assert flicker(made["held"]) < 0.6 * flicker(made["free"])
    assert flicker(made["free"]) < 0.9 * flicker(separate)


def test_what_moved_is_painted_anew_and_leaves_no_ghost(video):
    jobs = jobs_of(video, recipe="gram")
    list(stylize_frames(jobs))
    first, last = pixels(jobs[0].output), pixels(jobs[-1].output)
    there, gone = (slice(11, 19), slice(37, 45)), (slice(11, 19), slice(5, 13))
    redness = {name: (picture[..., 0] - picture[..., 2]) for name, picture in (("first", first), ("last", last))}
    assert redness["last"][there].mean() > redness["first"][there].mean() + 20
    assert redness["last"][gone].mean() < redness["first"][gone].mean() - 20


@pytest.mark.slow
def test_an_interrupted_video_goes_on_to_the_same_frames(video):
    whole = jobs_of(video, "whole")
    list(stylize_frames(whole))
    parts = jobs_of(video, "parts")
    outcomes = stylize_frames(parts)
    next(outcomes), next(outcomes)
    outcomes.close()
    assert [outcome.status for outcome in stylize_frames(parts)] == ["skipped"] * 2 + ["made"] * 3
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(pixels(one.output), pixels(other.output))
    assert {outcome.status for outcome in stylize_frames(parts)} == {"skipped"}
    assert next(stylize_frames(jobs_of(video, "parts", seed=1))).status == "made"


def test_a_frame_of_another_size_or_cut_off_is_found_before_the_first_is_made(video):
    path = video / "frames" / "frame_9.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"frame_9\.png' is damaged"):
        stylize_frames(jobs_of(video))
    save_image(smooth_picture(48, 48), path)
    with pytest.raises(ValueError, match=r"frame_9\.png' is 48 × 48 .* all frames must have one size"):
        stylize_frames(jobs_of(video))
    assert not (video / "out").exists() or not list((video / "out").iterdir())


def test_results_never_replace_the_frames(video):
    before = {path.name: path.read_bytes() for path in (video / "frames").iterdir()}
    with pytest.raises(ValueError, match="choose another output folder"):
        jobs_of(video, "frames")
    assert {path.name: path.read_bytes() for path in (video / "frames").iterdir()} == before


def test_the_total_loss_holds_the_distance_to_the_previous_image(pair, generator):
    content, style = pair
    before = generator.uniform(size=content.shape).astype(np.float32)
    mask = generator.uniform(size=content.shape[1:3]).astype(np.float32)
    previous = Previous(tf.constant(before), 7.0, mask)
    result = stylize(content, style, features="slim", steps=1, start="content", precision="float32", previous=previous)
    parts = sum(float(result.history[name][0]) for name in ("content", "style", "total_variation"))
    # The run starts from m x' + (1 - m) c, c being the content image.
    m, distance = mask[..., np.newaxis].astype(float), content.numpy().astype(float) - before
    held = 7.0 * (m * ((1 - m) * distance) ** 2).sum() / (3 * m.sum())
    assert float(result.history["total"][0]) - parts == pytest.approx(held, rel=1e-3)


def test_a_heavy_hold_keeps_the_picture_and_only_where_it_is_unchanged(pair):
    content, style = pair
    mask = np.zeros(content.shape[1:3], np.float32)
    mask[:, :32] = 1
    before = tf.reverse(content, [2])
    result = stylize(content, style, features="slim", steps=20, previous=Previous(before, 1e5, mask))
    change = np.abs(result.image - before)[0].mean(axis=-1)
    assert change[:, :30].mean() < 0.02
    assert change[:, 34:].mean() > 0.1


def test_a_held_picture_in_tiles_is_the_same():
    content, style = tf.constant(smooth_picture(72, 96)), tf.constant(striped_picture(56, 48))
    options = {"features": "slim", "steps": 4, "previous": Previous(tf.reverse(content, [1]), 20.0)}
    whole = stylize(content, style, **options)
    tiled = stylize(content, style, tile=64, **options)
    np.testing.assert_allclose(whole.history["total"], tiled.history["total"], rtol=1e-3)
    parts = sum(whole.history[name] for name in ("content", "style", "total_variation"))
    assert (whole.history["total"][1:] > parts[1:]).all()


@pytest.mark.parametrize(
    "wrong", [{"weight": -1.0}, {"unchanged": np.ones((3, 3))}, {"unchanged": np.full((48, 64), 2.0)}]
)
def test_a_previous_picture_that_cannot_be_meant_is_refused(pair, wrong):
    with pytest.raises(ValueError, match=r"expected|must hold"):
        Previous(pair[0], **wrong)


def test_a_previous_picture_of_another_size_is_refused(pair):
    with pytest.raises(ValueError, match="previous picture"):
        stylize(*pair, features="slim", previous=Previous(pair[1]))


def test_an_animation_has_every_frame_and_the_rate_asked_for(video):
    path = animate([job.content for job in jobs_of(video)], video / "video.webp", rate=10)
    assert durations_of(path) == [100] * 5


def durations_of(path):
    """Milliseconds that each image of an animation stays."""
    with Image.open(path) as animation:
        return [frame.copy().info["duration"] for frame in ImageSequence.Iterator(animation)]


@pytest.mark.parametrize("name", ["new.gif", "new.webp"])
def test_each_image_of_an_animation_stays_as_long_as_it_did(moving, name):
    paths = sorted(extract_frames(moving, moving.parent).glob("*.png"))
    assert durations_of(animate(paths, moving.parent / name, like=moving)) == [40, 40, 400, 40]


@pytest.mark.parametrize("name", ["new.gif", "new.webp"])
def test_an_animation_with_fewer_images_than_there_are_is_refused(moving, video, name):
    with pytest.raises(ValueError, match="has 4 images, and there are 5"):
        animate([job.content for job in jobs_of(video)], video / name, like=moving)


def test_rounding_to_what_a_gif_counts_in_does_not_add_up(video):
    path = animate([job.content for job in jobs_of(video)] * 5, video / "video.gif", rate=24)
    assert sum(durations_of(path)) == pytest.approx(25 * 1000 / 24, abs=10)


def test_the_command_line_makes_frames_and_animation_within_a_mask(video, monkeypatch):
    monkeypatch.chdir(video)
    save_image(np.ones((1, 48, 64, 3), np.float32) * (np.arange(48) < 24)[:, np.newaxis, np.newaxis], "top.png")
    command = ["frames", "frames", "style.png", "-o", "out.gif", "--features", "slim", "--mask", "top.png"]
    assert main([*command, "--size", "64", "--steps", "4"]) == 0
    assert len(list((video / "out_frames").glob("*.png"))) == 5
    for job in jobs_of(video, "out_frames"):
        np.testing.assert_allclose(pixels(job.output)[25:], pixels(job.content)[25:], atol=1)
    assert len(durations_of("out.gif")) == 5


def test_frames_are_taken_out_of_an_animation(tmp_path):
    pictures = [Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (10, 90, 200)]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:])
    save_image(striped_picture(48, 48), tmp_path / "s.png")
    jobs = nst_tf.frame_jobs(tmp_path / "x.gif", [tmp_path / "s.png"], tmp_path / "out")
    assert [os.path.basename(job.output) for job in jobs] == ["00001.png", "00002.png", "00003.png"]
    assert load_image(jobs[2].content).numpy().mean() == pytest.approx(200 / 255, abs=0.02)


def test_a_film_keeps_its_pace_its_sound_and_its_number_of_frames(clip, ffmpeg, monkeypatch, capsys):
    monkeypatch.chdir(clip.parent)
    save_image(striped_picture(48, 48), "s.png")
    command = ["frames", "clip.mp4", "s.png", "-o", "film.mp4", "--features", "slim", "--size", "67", "--steps", "1"]
    assert main(command) == 0
    assert Image.open("film_frames/00001.png").size == (49, 67)
    said = ffmpeg("-i", "film.mp4", "-map", "0:v", "-f", "null", "-")
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt709.* 48x66.* 8 fps", said)
    assert "Audio: aac" in said
    assert "Duration: 00:00:01.0" in said
    assert re.findall(r"frame= *(\d+)", said)[-1] == "8"
    assert main(command) == 0  # from the frames that are there
    assert capsys.readouterr().out.count("skipped") == 8


def test_a_film_shows_the_colors_of_its_frames(video, ffmpeg):
    film = animate([job.content for job in jobs_of(video)], video / "film.mp4", rate=10)
    ffmpeg("-i", film, "-frames:v", "1", video / "first.png")
    assert np.abs(pixels(video / "first.png") - pixels(jobs_of(video)[0].content)).mean() < 3


def test_a_film_of_an_animation_lasts_as_long(moving, ffmpeg):
    paths = sorted(extract_frames(moving, moving.parent).glob("*.png"))
    said = ffmpeg("-i", animate(paths, moving.parent / "film.mp4", like=moving), "-f", "null", "-")
    assert "Duration: 00:00:00.52" in said


def test_what_is_no_film_is_told_in_a_sentence(tmp_path, ffmpeg):
    (tmp_path / "notes.mp4").write_text("no film")
    with pytest.raises(ValueError, match=r"notes\.mp4' cannot be read as a video"):
        frame_jobs(tmp_path / "notes.mp4", ["s.png"], tmp_path / "out")


@pytest.mark.parametrize("name", ["film.mov", "film.webm", "film.png", "film.jpg"])
def test_a_film_of_another_kind_is_refused_and_not_taken_for_a_folder(name):
    with pytest.raises(ValueError, match=r"written as \.mp4 or \.gif or \.webp"):
        is_film(name)
    assert not is_film("out.v2")


def test_without_the_extra_a_film_is_refused_before_anything_is_made(video, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    (video / "clip.mp4").write_bytes(b"a film")
    monkeypatch.chdir(video)
    for places in (["frames", "style.png", "-o", "film.mp4"], ["clip.mp4", "style.png", "-o", "out"]):
        assert main(["frames", *places, "--features", "slim"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "nst_tf[video]" in line
    assert not list(video.glob("*_frames"))
