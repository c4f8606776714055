import json
import struct

import keras
import numpy as np
import pytest
from conftest import small_network
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import nst_tf
from nst_tf.cli.parser import main
from nst_tf.images import save_image
from nst_tf.pictures.settings import credits_of, settings_of
from nst_tf.published.fields import changed_by_json, recipe_settings
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

LAYERS = ("block1_conv1", "block2_conv1", "block2_conv2")
SHALLOW = {"content_layers": {"block2_conv2": 1.0}, "style_layers": {"block1_conv1": 0.5, "block2_conv1": 0.5}}


def test_a_saved_png_carries_what_it_was_made_with(pair, tmp_path):
    extractor = small_network(LAYERS)
    result = stylize(*pair, features=extractor, steps=2, seed=7, style_weight=3.0, **SHALLOW)
    settings = nst_tf.settings_of(result.save(tmp_path / "x.png"))
    assert settings == json.loads(json.dumps(result.settings))
    assert (settings["recipe"], settings["steps"], settings["seed"]) == ("studio", 2, 7)
    assert settings["changes"] == {"style_weight": 3.0, **SHALLOW}
    assert settings["size"] == [48, 64]
    assert settings["versions"]["nst_tf"] == nst_tf.__version__
    assert len(settings["content"]) == len(settings["style"]) == 64
    assert str(tmp_path) not in json.dumps(settings)


def test_a_png_made_by_an_optimizer_of_keras_can_be_read_too(pair, tmp_path):
    result = stylize(*pair, features=small_network(LAYERS), solver=keras.optimizers.SGD(0.5), steps=1, **SHALLOW)
    assert settings_of(result.save(tmp_path / "x.png"))["solver"]["config"]["learning_rate"] == 0.5


def test_changes_of_a_recipe_come_back_from_json():
    original = RECIPES["gatys"]
    changed = original.changed(style_weight=2.0, optimizer=RECIPES["udacity"].stepping.optimizer, quirks=("one",))
    settings = json.loads(json.dumps(recipe_settings(changed)))
    assert settings["recipe"] == "gatys"
    assert changed_by_json(original, settings["changes"]) == changed
    for nonsense in ({"nothing": 1}, {"optimizer": {"name": "adam", "speed": 3}}, {"style_layers": 5}):
        with pytest.raises(ValueError):
            changed_by_json(original, nonsense)


def test_like_repeats_a_picture_bit_for_bit_and_takes_what_is_given_from_the_command(pair, tmp_path, capsys):
    content, style = save_image(pair[0], tmp_path / "content.png"), save_image(pair[1], tmp_path / "style.png")
    first, again, other = (str(tmp_path / name) for name in ("first.png", "again.png", "other.png"))
    command = ["stylize", str(content), str(style), "-o"]
    assert main([*command, first, "--features", "slim", "--steps", "3", "--seed", "5", "--size", "50"]) == 0
    assert main([*command, again, "--like", first]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(again)), np.asarray(Image.open(first)))
    assert settings_of(again) == settings_of(first)
    assert "Note:" not in capsys.readouterr().out
    assert main([*command, other, "--like", first, "--steps", "2"]) == 0
    assert (settings_of(other)["steps"], settings_of(other)["seed"]) == (2, 5)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_author_copyright_and_resolution_stay_with_the_picture(pair, tmp_path, suffix):
    content, style = tmp_path / f"content{suffix}", save_image(pair[1], tmp_path / "style.png")
    picture, exif = Image.fromarray(np.uint8(255 * pair[0].numpy()[0])), Image.Exif()
    exif[0x013B], exif[0x8298] = "Ana Žižková".encode(), "© 2026, CC BY 4.0".encode()
    info = PngInfo()
    info.add_itxt("Author", "Ana Žižková")
    info.add_itxt("Copyright", "© 2026, CC BY 4.0")
    exif[282] = exif[283] = 240.0
    picture.save(content, dpi=(240, 240), **({"pnginfo": info} if suffix == ".png" else {"exif": exif}))
    made = tmp_path / f"made{suffix.replace('tif', 'jpeg')}"
    command = ["stylize", str(content), str(style), "-o", str(made), "--features", "slim", "--steps", "1"]
    assert main([*command, "--size", "48"]) == 0
    expected = {"author": "Ana Žižková", "copyright": "© 2026, CC BY 4.0", "dpi": 240}
    assert credits_of(made) == expected
    if suffix == ".png":
        assert settings_of(made)["credits"] == expected
        assert Image.open(made).info["Author"] == "Ana Žižková"


def exif_of(*tags):
    """EXIF of tags (number, type, value up to any length), by hand, since Pillow writes no tag of a wrong type."""
    entries, values, begin = b"", b"", 8 + 2 + 12 * len(tags) + 4
    for number, kind, size, value in tags:
        entries += struct.pack("<HHII", number, kind, size, begin + len(values))
        values += value
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + values


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize(
    ("kind", "size", "value"),
    [(2, 8, b"300 dpi\0"), (7, 8, b"\1\2\3\4\5\6\7\0"), (5, 2, struct.pack("<4I", 300, 1, 0, 0))],
    ids=["text", "bytes", "two"],
)
def test_a_resolution_that_is_no_number_does_not_cost_the_author(pair, tmp_path, suffix, kind, size, value):
    path = tmp_path / f"content{suffix}"
    exif = exif_of((0x013B, 2, 9, b"Ana Marie"), (282, kind, size, value))
    Image.fromarray(np.uint8(255 * pair[0].numpy()[0])).save(path, exif=exif)
    assert credits_of(path)["author"] == "Ana Marie"


def test_files_without_settings_are_refused(tmp_path):
    picture = Image.new("RGB", (40, 40))
    picture.save(tmp_path / "plain.png")
    picture.save(tmp_path / "photo.jpg")
    (tmp_path / "text.png").write_text("no picture")
    for name, text in (
        ("broken.png", "{not json"),
        ("list.png", "[1]"),
        ("huge.png", "9" * 200_000),
        ("deep.png", '{"recipe":' + "[" * 90_000),
    ):
        info = PngInfo()
        info.add_itxt("nst_tf", text)
        picture.save(tmp_path / name, pnginfo=info)
    for name in ("plain.png", "photo.jpg", "text.png", "broken.png", "list.png", "huge.png", "deep.png"):
        with pytest.raises(ValueError, match="carries no settings"):
            settings_of(tmp_path / name)
    with pytest.raises(ValueError, match="no file"):
        settings_of(tmp_path / "missing.png")


@pytest.mark.parametrize(
    "wrong",
    [{"changes": None}, {"steps": "20"}, {"seed": None}, {"size": [1]}, {"size": ["a", "b"]}, {"solver": ["fast"]}],
)
def test_settings_that_were_tampered_with_are_refused_by_name(pair, tmp_path, wrong):
    settings = stylize(*pair, features="slim", steps=1).settings
    path = save_image(pair[0], tmp_path / "x.png", settings={**settings, **wrong})
    with pytest.raises(ValueError, match=next(iter(wrong))):
        settings_of(path)
