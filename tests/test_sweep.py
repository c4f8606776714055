import dataclasses
import json
import signal

import numpy as np
import pytest
from PIL import Image

from nst_tf.images import save_image
from nst_tf.pictures.settings import settings_of
from nst_tf.published.fields import parse_change, parse_layers, parse_value
from nst_tf.tools.special import reconstruct, texture
from nst_tf.tools.sweep import Axis, parse_axis, promote, sweep
from nst_tf.transfer import stylize


@pytest.fixture
def files(pair, tmp_path):
    return [str(save_image(image, tmp_path / name)) for image, name in zip(pair, ("c.png", "s.png"), strict=True)]


# On pictures as small as these the first steps climb and are taken back.
OPTIONS = {"features": "slim", "size": 48, "steps": 10, "seed": 4}


def pixels(path):
    return np.asarray(Image.open(path))


def test_a_sweep_makes_every_picture_the_sheet_and_can_be_repeated(files, tmp_path):
    axes = {"rows": Axis("style_weight", (1.0, 50.0)), "columns": Axis("total_variation_weight", (0.0, 30.0))}
    seen = []
    first = sweep(files[0], files[1:], tmp_path / "a", **axes, callback=lambda *done: seen.append(done), **OPTIONS)
    again = sweep(files[0], files[1:], tmp_path / "b", **axes, **OPTIONS)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert np.shape(first)[:2] == (2, 2)
    np.testing.assert_array_equal(first, again)
    assert len({np.asarray(picture).tobytes() for line in first for picture in line}) == 4
    assert Image.open(tmp_path / "a" / "contact_sheet.png").size[0] > 200
    assert settings_of(tmp_path / "a" / "2_1.png")["changes"]["style_weight"] == 50.0


def test_a_promoted_cell_is_the_cells_picture_at_its_size_and_another_at_another(files, tmp_path):
    axes = {"rows": Axis("style_weight", (1.0, 50.0)), "columns": Axis("color", ("style", "luminance"))}
    sweep(files[0], files[1:], tmp_path, **axes, **OPTIONS)
    result = promote(tmp_path, 2, 2, size=48)
    result.save(tmp_path / "again.png")
    np.testing.assert_array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "2_2.png"))
    assert promote(tmp_path, 1, 1).image.shape[1:3] == (48, 64)
    with pytest.raises(ValueError, match="2 rows and 2 columns"):
        promote(tmp_path, 3, 1)


def test_styles_mixes_seeds_and_layers_can_be_swept(files, tmp_path):
    mixed = sweep(
        files[0],
        [files[1], files[0]],
        tmp_path / "mix",
        rows=Axis("mix", (0.0, 0.5, 1.0)),
        columns=parse_axis("style_layers=1-2,1-5"),
        **OPTIONS,
    )
    assert np.shape(mixed)[:2] == (3, 2)
    assert json.loads((tmp_path / "mix" / "sweep.json").read_text())[1][0]["style_weights"] == [0.5, 0.5]
    styles = Axis("style", tuple(files))
    swept = sweep(files[0], [files[1]], tmp_path / "s", rows=styles, columns=Axis("seed", (0, 1)), **OPTIONS)
    assert np.abs(swept[0][0] - swept[1][0]).max() > 0.01


def test_sweeps_that_make_no_sense_are_refused_before_the_first_picture(files, tmp_path):
    weights = Axis("style_weight", (1.0, 2.0))
    refused = {
        "both 'style_weight'": (weights, weights),
        "no field 'strength'": (weights, Axis("strength", (1,))),
        "at least 0": (weights, Axis("content_weight", (-1.0,))),
        "too many": (Axis("style_weight", tuple(range(60))), Axis("seed", (0, 1))),
        "1 styles": (weights, Axis("mix", (0.5,))),
        "one size": (weights, Axis("size", (40, 64))),
        "Unknown solver": (weights, Axis("solver", ("fast", "mystery"))),
        "Unknown features": (weights, Axis("features", ("slim", "mystery"))),
        "no file": (weights, Axis("style", (files[1], "missing.png"))),
    }
    for message, (rows, columns) in refused.items():
        with pytest.raises(ValueError, match=message):
            sweep(files[0], files[1:], tmp_path / "x", rows=rows, columns=columns, **OPTIONS)
    assert not list((tmp_path / "x").glob("*.png"))
    with pytest.raises(ValueError, match="no sweep"):
        promote(tmp_path / "x", 1, 1)


@pytest.mark.parametrize("name", ["1_1.png", "contact_sheet.png"])
def test_a_sweep_does_not_write_over_the_pictures_it_is_made_from(pair, files, tmp_path, name):
    content = save_image(pair[0], tmp_path / name)
    before = content.read_bytes()
    axes = {"rows": Axis("style_weight", (1.0,)), "columns": Axis("seed", (1,))}
    with pytest.raises(ValueError, match=name):
        sweep(content, files[1:], tmp_path, **axes, **OPTIONS)
    assert content.read_bytes() == before


def test_an_interrupted_sweep_stops_and_keeps_what_was_finished(files, tmp_path):
    axes = {"rows": Axis("style_weight", (1.0, 50.0)), "columns": Axis("seed", (0, 1))}

    def interrupt(done, cells):
        if done == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        sweep(files[0], files[1:], tmp_path / "x", **axes, callback=interrupt, **OPTIONS)
    assert sorted(path.name for path in (tmp_path / "x").glob("*.png")) == ["1_1.png", "1_2.png"]
    assert promote(tmp_path / "x", 2, 2, size=48).status == "done"


def test_an_interrupt_within_a_picture_stops_the_sweep_too(files, tmp_path, monkeypatch):
    from nst_tf.tools import running as module

    def interrupted(*arguments, **options):
        return dataclasses.replace(stylize(*arguments, **options), status="interrupted")

    monkeypatch.setattr(module, "stylize", interrupted)
    axes = {"rows": Axis("style_weight", (1.0, 50.0)), "columns": Axis("seed", (0, 1))}
    with pytest.raises(KeyboardInterrupt):
        sweep(files[0], files[1:], tmp_path / "x", **axes, **OPTIONS)
    assert not list((tmp_path / "x").glob("*.png"))


def test_steps_hold_for_the_published_solver_and_numbers_of_numpy_are_kept(files, tmp_path):
    axes = {"rows": Axis("seed", tuple(np.arange(1))), "columns": Axis("style_weight", (np.float32(3),))}
    options = {"recipe": "coursera", "solver": "published", "features": "slim", "size": 48, "steps": 2}
    sweep(files[0], files[1:], tmp_path / "x", **axes, **options)
    assert settings_of(tmp_path / "x" / "1_1.png")["steps"] == 2


def test_a_sweep_is_promoted_from_any_folder_and_replaces_an_earlier_one(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows, columns = Axis("style_weight", (1.0, 50.0)), Axis("seed", (0,))
    sweep("c.png", ["s.png"], "x", rows=rows, columns=columns, **OPTIONS)
    sweep("c.png", ["s.png"], "x", rows=Axis("style_weight", (2.0,)), columns=columns, **OPTIONS)
    assert not (tmp_path / "x" / "2_1.png").exists()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert promote("../x", 1, 1, size=48).status == "done"
    (tmp_path / "x" / "sweep.json").write_text("[]")
    with pytest.raises(ValueError, match="damaged"):
        promote("../x", 1, 1)


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
