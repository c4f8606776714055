import dataclasses
import signal

import numpy as np
import pytest
from PIL import Image

from nst_tf.images import save_image
from nst_tf.pictures.settings import settings_of
from nst_tf.published.fields import parse_change, parse_layers, parse_value
from nst_tf.tools.jobs import Job
from nst_tf.tools.running import run
from nst_tf.tools.special import reconstruct, texture
from nst_tf.tools.sweep import Axis, parse_axis, sweep
from nst_tf.transfer import stylize


@pytest.fixture
def files(pair, tmp_path):
    return [str(save_image(image, tmp_path / name)) for image, name in zip(pair, ("c.png", "s.png"), strict=True)]


# On pictures as small as these the first steps climb and are taken back.
OPTIONS = {"features": "slim", "size": 48, "steps": 10, "seed": 4}


def pixels(path):
    return np.asarray(Image.open(path))


def job_of(files, **options):
    return Job(files[0], files[1:], **{**OPTIONS, **options})


WEIGHTS, SEEDS = Axis("style_weight", (1.0, 50.0)), Axis("seed", (0, 1))


def test_a_sweep_makes_every_image_the_sheet_and_can_be_repeated(files, tmp_path):
    axes = {"rows": WEIGHTS, "columns": Axis("total_variation_weight", (0.0, 30.0))}
    seen = []
    first = sweep(job_of(files), tmp_path / "a", **axes, callback=lambda *done: seen.append(done))
    again = sweep(job_of(files), tmp_path / "b", **axes)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert np.shape(first)[:2] == (2, 2)
    np.testing.assert_array_equal(first, again)
    assert len({np.asarray(image).tobytes() for line in first for image in line}) == 4
    assert Image.open(tmp_path / "a" / "contact_sheet.png").size[0] > 200
    assert settings_of(tmp_path / "a" / "2_1.png")["changes"]["style_weight"] == 50.0


def test_a_cell_is_made_again_from_the_settings_in_its_png_at_its_size_and_at_another(files, tmp_path):
    sweep(job_of(files), tmp_path, rows=WEIGHTS, columns=Axis("color", ("style", "luminance")))
    inputs = {"content": files[0], "styles": files[1]}
    again = run(Job.like(tmp_path / "2_2.png", **inputs))
    again.save(tmp_path / "again.png")
    np.testing.assert_array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "2_2.png"))
    assert run(Job.like(tmp_path / "1_1.png", **inputs, size=64)).image.shape[1:3] == (48, 64)


def test_a_second_sweep_keeps_what_is_there_and_removes_what_it_has_not(files, tmp_path):
    sweep(job_of(files), tmp_path / "x", rows=WEIGHTS, columns=SEEDS)
    kept = (tmp_path / "x" / "1_1.png").stat().st_mtime_ns
    sweep(job_of(files), tmp_path / "x", rows=Axis("style_weight", (1.0,)), columns=Axis("seed", (0, 7)))
    assert (tmp_path / "x" / "1_1.png").stat().st_mtime_ns == kept
    assert settings_of(tmp_path / "x" / "1_2.png")["seed"] == 7
    assert not (tmp_path / "x" / "2_1.png").exists()


def test_styles_their_weights_seeds_and_layers_can_be_swept(files, tmp_path):
    two = job_of([files[0], files[1], files[0]])
    rows, columns = parse_axis("style_weights=1|0,0.5|0.5,0|1"), parse_axis("style_layers=1-2,1-5")
    assert np.shape(sweep(two, tmp_path / "mix", rows=rows, columns=columns))[:2] == (3, 2)
    assert settings_of(tmp_path / "mix" / "2_1.png")["style_weights"] == [0.5, 0.5]
    swept = sweep(job_of(files), tmp_path / "s", rows=Axis("style", tuple(files)), columns=SEEDS)
    assert np.abs(swept[0][0] - swept[1][0]).max() > 0.01


def test_sweeps_that_make_no_sense_are_rejected_before_the_first_image(files, tmp_path):
    weights = Axis("style_weight", (1.0, 2.0))
    rejected = {
        "both 'style_weight'": (weights, weights),
        "no field 'strength'": (weights, Axis("strength", (1,))),
        "at least 0": (weights, Axis("content_weight", (-1.0,))),
        "too many": (Axis("style_weight", tuple(range(60))), Axis("seed", (0, 1))),
        "one size": (weights, Axis("size", (40, 64))),
        "Unknown solver": (weights, Axis("solver", ("fast", "mystery"))),
        "Unknown features": (weights, Axis("features", ("slim", "mystery"))),
        "no file": (weights, Axis("style", (files[1], "missing.png"))),
    }
    for message, (rows, columns) in rejected.items():
        with pytest.raises(ValueError, match=message):
            sweep(job_of(files), tmp_path / "x", rows=rows, columns=columns)
    assert not list((tmp_path / "x").glob("*.png"))


@pytest.mark.parametrize("name", ["1_1.png", "contact_sheet.png"])
def test_a_sweep_does_not_write_over_the_images_it_is_made_from(pair, files, tmp_path, name):
    content = save_image(pair[0], tmp_path / name)
    before = content.read_bytes()
    with pytest.raises(ValueError, match=name):
        sweep(job_of([content, files[1]]), tmp_path, rows=Axis("style_weight", (1.0,)), columns=Axis("seed", (1,)))
    assert content.read_bytes() == before


def test_an_interrupted_sweep_stops_keeps_what_was_finished_and_goes_on(files, tmp_path):
    def interrupt(done, cells):
        if done == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        sweep(job_of(files), tmp_path / "x", rows=WEIGHTS, columns=SEEDS, callback=interrupt)
    finished = sorted((tmp_path / "x").glob("*.png"))
    assert [path.name for path in finished] == ["1_1.png", "1_2.png"]
    before = [path.stat().st_mtime_ns for path in finished]
    sweep(job_of(files), tmp_path / "x", rows=WEIGHTS, columns=SEEDS)
    assert [path.stat().st_mtime_ns for path in finished] == before
    assert len(list((tmp_path / "x").glob("?_?.png"))) == 4


def test_an_interrupt_within_an_image_stops_the_sweep_too(files, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        return dataclasses.replace(stylize(*arguments, **options), status="interrupted")

    monkeypatch.setattr("nst_tf.tools.running.stylize", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(job_of(files), tmp_path / "x", rows=WEIGHTS, columns=SEEDS)
    assert not list((tmp_path / "x").glob("*.png"))


def test_an_image_that_diverges_leaves_a_white_cell_and_the_others_are_made(files, tmp_path):
    axes = {"rows": Axis("style_weight", (1.0, 1e39)), "columns": Axis("seed", (0,))}
    with pytest.warns(UserWarning, match="2_1.png"):
        sheet = sweep(job_of(files), tmp_path / "x", **axes)
    assert np.asarray(sheet[1][0]).min() == 1
    assert np.asarray(sheet[0][0]).min() < 1
    assert (tmp_path / "x" / "contact_sheet.png").exists()
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="No image could be made"):
        sweep(job_of(files, changes={"style_weight": 1e39}), tmp_path / "y", rows=SEEDS, columns=Axis("softness", (0,)))


def test_steps_hold_for_the_published_solver_and_numbers_of_numpy_are_kept(files, tmp_path):
    axes = {"rows": Axis("seed", tuple(np.arange(1))), "columns": Axis("style_weight", (np.float32(3),))}
    sweep(job_of(files, recipe="coursera", solver="published", steps=2), tmp_path / "x", **axes)
    assert settings_of(tmp_path / "x" / "1_1.png")["steps"] == 2


def test_fields_are_read_from_text():
    assert parse_change("style_weight=20") == ("style_weight", 20.0)
    assert parse_value("style_scale", "none") is None
    assert parse_value("clip", "False") is False
    assert parse_value("published_steps", "2") == 2
    assert parse_layers("2-3") == {"block2_conv1": 0.5, "block3_conv1": 0.5}
    assert parse_layers("block1_conv1:0.8+block4_conv2:0.2") == {"block1_conv1": 0.8, "block4_conv2": 0.2}
    for text in (
        "style_weight",
        "style_weight=much",
        "published_steps=1.5",
        "steps=3",
        "size=80",
        "clip=perhaps",
        "strength=1",
        "style_layers=3-9",
    ):
        with pytest.raises(ValueError):
            parse_change(text)
    for text in ("style_weight", "seed=one", "style_weight="):
        with pytest.raises(ValueError):
            parse_axis(text)


def test_a_texture_has_any_size_and_no_content(pair):
    result = texture(pair[1], height=40, width=90, features="slim", steps=30)
    assert result.image.shape == (1, 40, 90, 3)
    assert (result.history["content"] == 0).all()
    assert result.history["style"][-1] < 0.5 * result.history["style"][0]


@pytest.mark.slim
def test_a_reconstruction_comes_back_to_the_content_without_style(pair):
    result = reconstruct(pair[0], layer="block2_conv1", features="slim", steps=100)
    assert (result.history["style"] == 0).all()
    noise = np.random.default_rng(0).uniform(size=pair[0].shape)
    assert np.abs(result.image - pair[0]).mean() < 0.4 * np.abs(noise - pair[0]).mean()
