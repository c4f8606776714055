"""Every control from the command line, on small pictures."""

import shlex

import numpy as np
import pytest
from PIL import Image

from nst_tf.cli.parser import main
from nst_tf.images import save_image
from nst_tf.pictures.reading import read_pixels
from nst_tf.pictures.settings import settings_of
from nst_tf.tools import inputs

RUN = ["--features", "slim", "--steps", "2"]


@pytest.fixture
def folder(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_image(pair[0], "c.png")
    save_image(pair[1], "s.png")
    save_image(pair[0][:, ::-1], "t.png")
    left = np.zeros((1, 48, 64, 3), np.float32)
    left[:, :, :32] = 1
    save_image(left, "left.png")
    return tmp_path


def pixels(path):
    return np.asarray(Image.open(path), float)


def test_color_scale_and_fields_are_set_and_kept_in_the_picture(folder):
    command = ["stylize", "c.png", "s.png", "-o", "x.png", *RUN, "--style-scale", "1.5", "--color", "luminance"]
    assert main([*command, "--set", "style_weight=20", "--set", "style_layers=1-3"]) == 0
    changes = settings_of("x.png")["changes"]
    assert changes["color"] == "luminance"
    assert changes["style_scale"] == 1.5
    assert changes["style_weight"] == 20
    assert list(changes["style_layers"]) == ["block1_conv1", "block2_conv1", "block3_conv1"]
    assert main(["stylize", "c.png", "s.png", "-o", "y.png", "--like", "x.png"]) == 0
    np.testing.assert_array_equal(pixels("y.png"), pixels("x.png"))


def test_styles_are_blended_and_weights_are_repeated_with_like(folder):
    both = ["stylize", "c.png", "s.png", "t.png", "-o"]
    assert main([*both, "x.png", *RUN, "--style-weights", "0.25,0.75"]) == 0
    assert settings_of("x.png")["style_weights"] == [0.25, 0.75]
    assert main([*both, "y.png", "--like", "x.png"]) == 0
    np.testing.assert_array_equal(pixels("y.png"), pixels("x.png"))


def test_masks_keep_the_content_and_rest_is_what_they_leave(folder, capsys):
    assert main(["stylize", "c.png", "s.png", "-o", "x.png", *RUN, "--mask", "left.png"]) == 0
    np.testing.assert_allclose(pixels("x.png")[:, 34:], pixels("c.png")[:, 34:], atol=1)
    masks = ["--mask", "left.png", "--mask", "rest", "--softness", "2"]
    assert main(["stylize", "c.png", "s.png", "t.png", "-o", "y.png", *RUN, *masks]) == 0
    assert settings_of("y.png")["masks"]
    assert main(["stylize", "c.png", "s.png", "-o", "z.png", "--like", "x.png"]) == 2
    assert "give them again (--mask)" in capsys.readouterr().err


def test_like_says_that_a_start_picture_is_not_there(folder, capsys):
    command = ["stylize", "c.png", "s.png", "-o"]
    assert main([*command, "x.png", *RUN, "--start", "t.png"]) == 0
    assert "Note: x.png" not in capsys.readouterr().out
    assert main([*command, "y.png", "--like", "x.png"]) == 0
    assert "Note: x.png" in capsys.readouterr().out


def test_a_style_of_weight_0_stays_so_with_like(folder):
    both = ["stylize", "c.png", "s.png", "t.png", "-o"]
    assert main([*both, "x.png", *RUN, "--style-weights", "1,0"]) == 0
    assert main([*both, "y.png", "--like", "x.png"]) == 0
    np.testing.assert_array_equal(pixels("y.png"), pixels("x.png"))


@pytest.mark.parametrize("softness", ["inf", "-5", "much"])
def test_softness_is_a_number_of_at_least_0(folder, softness, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["regions", "c.png", "-o", "masks", "--softness", softness])
    assert "at least 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask", "left.png", "--mask", "left.png"], "There are 2 masks for 1 style images"),
        (["--style-mask", "left.png", "--style-mask", "left.png"], "There are 2 style masks for 1 style images"),
        (["--mask", "rest"], "beside others"),
        (["--style-mask", "rest"], "beside others"),
        (["--mask", "missing.png"], "missing.png"),
        (["--start", "missing.png"], "missing.png"),
        (["--style-weights", "0.5,0.5"], "There are 2 style weights for 1 style images"),
        (["--set", "strength=1"], "no field"),
        (["--set", "stlye_weight=1"], "it has style_weight"),
        (["--color", "sepia"], "luminance"),
        (["--style-scale", "-1"], "style_scale"),
        (["--set", "steps=3"], "--steps 3"),
        (["--features", "missing.h5"], "missing.h5"),
    ],
)
def test_controls_that_cannot_be_meant_are_one_line_and_status_2(folder, capsys, arguments, message):
    assert main(["stylize", "c.png", "s.png", "-o", "x.png", *RUN, *arguments]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert any(part in errors[0] for part in message.split("|"))
    assert not (folder / "x.png").exists()


def test_regions_are_proposed_as_masks_that_stylize_takes(folder, capsys):
    assert main(["regions", "c.png", "-o", "masks", "--count", "2"]) == 0
    assert "% of the picture" in capsys.readouterr().out
    masks = [pixels(f"masks/region_{number}.png")[..., 0] for number in (1, 2)]
    np.testing.assert_allclose(sum(masks), 255, atol=1.5)
    assert main(["stylize", "c.png", "s.png", "-o", "x.png", *RUN, "--mask", "masks/region_1.png"]) == 0


def run_what_was_printed(capsys, size):
    """Run the command that a sweep prints at its end, at another size; return the path of its result."""
    command = shlex.split(capsys.readouterr().out.strip().splitlines()[-1])
    assert command[:4] == ["python", "-m", "nst_tf", "stylize"]
    assert main([*command[3:], "--size", str(size)]) == 0
    return command[command.index("-o") + 1]


def test_the_command_that_a_sweep_prints_repeats_its_last_cell_bit_for_bit_and_makes_it_larger(folder, capsys):
    axes = ["--rows", "style_weight=1,50", "--columns", "seed=0,1"]
    assert main(["sweep", "c.png", "s.png", "-o", "a grid", *axes, *RUN, "--size", "48"]) == 0
    out = run_what_was_printed(capsys, 48)
    np.testing.assert_array_equal(pixels(out), pixels("a grid/2_2.png"))
    assert "Note" not in capsys.readouterr().out
    same = ["stylize", "c.png", "s.png", "--like", "a grid/2_1.png", "-o", "x.png", "--size"]
    assert main([*same, "48"]) == 0
    np.testing.assert_array_equal(pixels("x.png"), pixels("a grid/2_1.png"))
    assert main([*same, "64"]) == 0
    assert Image.open("x.png").size == (64, 48)


def test_each_image_is_read_once(folder, monkeypatch):
    read = []
    monkeypatch.setattr(inputs, "read_pixels", lambda path, **how: read.append(path) or read_pixels(path, **how))
    given = ["c.png", "s.png", *RUN, "--mask", "left.png", "--start", "t.png", "--size", "64"]
    for command in (
        ["stylize", *given, "-o", "x.png"],
        ["stylize", *given[:2], *given[6:10], "-o", "y.png", "--like", "x.png"],
        ["sweep", *given, "-o", "grid", "--rows", "style_weight=1,2", "--columns", "softness=0,2"],
    ):
        read.clear()
        assert main(command) == 0
        assert sorted(read) == ["c.png", "left.png", "s.png", "t.png"]


def test_a_sweep_takes_masks_and_a_start_image_and_prints_them(folder, capsys):
    axes = ["--rows", "style_weight=1,50", "--columns", "softness=0,3"]
    given = ["--mask", "left.png", "--start", "t.png", "--color", "luminance"]
    assert main(["sweep", "c.png", "s.png", "-o", "grid", *axes, *RUN, "--size", "64", *given]) == 0
    hard, soft = pixels("grid/2_1.png"), pixels("grid/2_2.png")
    np.testing.assert_allclose(hard[:, 34:], pixels("c.png")[:, 34:], atol=1)
    assert np.abs(hard[:, :30] - pixels("c.png")[:, :30]).mean() > 2
    assert np.abs(soft[:, 34:38] - pixels("c.png")[:, 34:38]).mean() > np.abs(hard - pixels("c.png"))[:, 34:38].mean()
    out = run_what_was_printed(capsys, 64)
    np.testing.assert_array_equal(pixels(out), soft)
    assert "Note" not in capsys.readouterr().out


def test_texture_reconstruction_and_timelapse(folder):
    assert main(["texture", "s.png", "-o", "x.png", *RUN, "--size", "70x40", "--timelapse", "x.webp"]) == 0
    assert Image.open("x.png").size == (70, 40)
    assert Image.open("x.webp").n_frames > 1
    assert main(["reconstruct", "c.png", "-o", "y.png", *RUN, "--layer", "block2_conv1"]) == 0
    assert Image.open("y.png").size == (64, 48)
