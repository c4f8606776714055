import json

import numpy as np
import pytest
from PIL import Image

from nst_tf.images import save_image
from nst_tf.settings import settings_of
from nst_tf.tools.fields import parse_change, parse_layers, parse_value
from nst_tf.tools.special import reconstruct, texture
from nst_tf.tools.sweep import Axis, parse_axis, promote, sweep


@pytest.fixture
def files(pair, tmp_path):
    return [str(save_image(image, tmp_path / name)) for image, name in zip(pair, ("c.png", "s.png"), strict=True)]


OPTIONS = {"features": "offline", "size": 48, "steps": 3, "seed": 4}


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
        "2 styles|1 styles": (weights, Axis("mix", (0.5,))),
    }
    for message, (rows, columns) in refused.items():
        with pytest.raises(ValueError, match=message):
            sweep(files[0], files[1:], tmp_path / "x", rows=rows, columns=columns, **OPTIONS)
    assert not list((tmp_path / "x").glob("*.png"))
    with pytest.raises(ValueError, match="no sweep"):
        promote(tmp_path / "x", 1, 1)


def test_fields_are_read_from_text():
    assert parse_change("style_weight=20") == ("style_weight", 20.0)
    assert parse_value("style_scale", "none") is None
    assert parse_value("clip", "False") is False
    assert parse_value("steps", "7") == 7
    assert parse_layers("2-3") == {"block2_conv1": 0.5, "block3_conv1": 0.5}
    assert parse_layers("block1_conv1:0.8+block4_conv2:0.2") == {"block1_conv1": 0.8, "block4_conv2": 0.2}
    for text in ("style_weight", "style_weight=much", "steps=1.5", "clip=perhaps", "strength=1", "style_layers=3-9"):
        with pytest.raises(ValueError):
            parse_change(text)
    for text in ("style_weight", "seed=one", "style_weight="):
        with pytest.raises(ValueError):
            parse_axis(text)


def test_a_texture_has_any_size_and_no_content(pair):
    result = texture(pair[1], height=40, width=90, features="offline", steps=8)
    assert result.image.shape == (1, 40, 90, 3)
    assert (result.history["content"] == 0).all()
    assert result.history["style"][-1] < 0.5 * result.history["style"][0]


def test_a_reconstruction_comes_back_to_the_content_without_style(pair):
    result = reconstruct(pair[0], layer="block2_conv1", features="offline", steps=60)
    assert (result.history["style"] == 0).all()
    noise = np.random.default_rng(0).uniform(size=pair[0].shape)
    assert np.abs(result.image - pair[0]).mean() < 0.4 * np.abs(noise - pair[0]).mean()
