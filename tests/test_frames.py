import itertools
import os

import numpy as np
import pytest
import tensorflow as tf
from conftest import smooth_picture, striped_picture
from PIL import Image

import nst_tf
from nst_tf.cli.parser import main
from nst_tf.controls.previous import Previous
from nst_tf.images import load_image, save_image
from nst_tf.tools.frames import animate, frame_jobs, stylize_frames, unchanged
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


def test_a_bad_frame_ends_the_video_with_its_reason(video):
    save_image(smooth_picture(48, 48), video / "frames" / "frame_9.png")
    *_, last = stylize_frames(jobs_of(video))
    assert (last.number, last.status) == (2, "failed")
    assert "all frames must have one size" in last.reason


def test_results_never_replace_the_frames(video):
    before = {path.name: path.read_bytes() for path in (video / "frames").iterdir()}
    with pytest.raises(ValueError, match="would be lost"):
        stylize_frames(jobs_of(video, "frames"))
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
    with Image.open(path) as animation:
        assert animation.n_frames == 5
        durations = []
        for frame in range(5):
            animation.seek(frame)
            animation.load()
            durations.append(animation.info["duration"])
    assert durations == [100] * 5


def test_the_command_line_makes_frames_and_animation_within_a_mask(video, monkeypatch):
    monkeypatch.chdir(video)
    save_image(np.ones((1, 48, 64, 3), np.float32) * (np.arange(48) < 24)[:, np.newaxis, np.newaxis], "top.png")
    command = ["frames", "frames", "style.png", "-o", "out", "--features", "slim", "--mask", "top.png"]
    assert main([*command, "--size", "64", "--steps", "4", "--animation", "video.gif"]) == 0
    assert len(list((video / "out").glob("*.png"))) == 5
    for job in jobs_of(video):
        np.testing.assert_allclose(pixels(job.output)[25:], pixels(job.content)[25:], atol=1)
    assert (video / "video.gif").exists()


def test_frames_are_taken_out_of_an_animation(tmp_path):
    pictures = [Image.fromarray(np.full((48, 64, 3), level, np.uint8)) for level in (10, 90, 200)]
    pictures[0].save(tmp_path / "x.gif", save_all=True, append_images=pictures[1:])
    save_image(striped_picture(48, 48), tmp_path / "s.png")
    jobs = nst_tf.frame_jobs(tmp_path / "x.gif", [tmp_path / "s.png"], tmp_path / "out")
    assert [os.path.basename(job.output) for job in jobs] == ["00001.png", "00002.png", "00003.png"]
    assert load_image(jobs[2].content).numpy().mean() == pytest.approx(200 / 255, abs=0.02)
