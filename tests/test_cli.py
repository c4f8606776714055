import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from nst_tf.cli.commands import _Progress
from nst_tf.cli.parser import main
from nst_tf.images import save_image


@pytest.fixture
def files(pair, tmp_path):
    return save_image(pair[0], tmp_path / "content.png"), save_image(pair[1], tmp_path / "style.jpg")


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def nst_tf(capsys):
    """Runs a command in this process, as `python -m nst_tf` does in its own."""

    def run(*arguments):
        try:
            status = main([*map(str, arguments)])
        except SystemExit as end:  # how argparse ends
            status = end.code
        return Done(status, *capsys.readouterr())

    return run


def in_a_process(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "nst_tf", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_a_process_ends_with_0_when_done_and_with_2_on_bad_input(files, tmp_path):
    done = in_a_process("stylize", *files, "-o", tmp_path / "x.png", "--features", "slim", "--steps", 2)
    assert (done.returncode, done.stderr) == (0, "")
    refused = in_a_process("stylize", tmp_path / "missing.jpg", files[1], "-o", tmp_path / "x.png")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.strip().splitlines()) == 1


def test_stylize_writes_picture_curve_and_timelapse_and_says_so(nst_tf, files, tmp_path):
    out = tmp_path / "new" / "x.png"
    curve, animation = tmp_path / "new" / "curve.png", tmp_path / "new" / "x.gif"
    done = nst_tf(
        "stylize", *files, "-o", out, "--features", "slim", "--steps", 8, "--plot", curve, "--timelapse", animation
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.strip().splitlines()[-1]
    for part in (str(out), "64 × 48", "8 steps", "slim"):
        assert part in last
    assert Image.open(out).size == (64, 48)
    assert Image.open(animation).n_frames > 1
    assert Image.open(curve).size[0] > 300


def test_bad_input_is_one_line_and_status_2(nst_tf, files, tmp_path):
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "cut.jpg").write_bytes(files[1].read_bytes()[:300])
    Image.fromarray(np.zeros((10, 10, 3), np.uint8)).save(tmp_path / "tiny.png")
    for name in ("missing.jpg", "text.jpg", "cut.jpg", "tiny.png"):
        refused = nst_tf("stylize", tmp_path / name, files[1], "-o", tmp_path / "x.png")
        assert refused.returncode == 2
        assert refused.stdout == ""
        assert len(refused.stderr.strip().splitlines()) == 1
        assert name in refused.stderr
    refused = nst_tf("stylize", *files, "-o", tmp_path / "x.tiff")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "{folder}/style.jpg/x.png"],
        ["-o", "{folder}"],
        ["-o", "{folder}/x.png", "--timelapse", "{folder}/x.mp4"],
        ["-o", "{folder}/x.png", "--steps", "many"],
    ],
)
def test_what_could_not_be_saved_is_refused_before_the_run(nst_tf, files, tmp_path, arguments):
    before = sorted(tmp_path.iterdir())
    refused = nst_tf("stylize", *files, *(argument.format(folder=tmp_path) for argument in arguments))
    assert refused.returncode == 2
    assert "TensorFlow" not in refused.stdout
    assert "Traceback" not in refused.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["stylize", "a.jpg", "b.jpg", "-o", "x.png", "--colour", "luminance"], "no --colour; did you mean --color"),
        (["regions", "my", "photo.jpg", "-o", "x"], "unexpected 'photo.jpg'; put a name with spaces in quotes"),
        (["doctor", "--zzz"], "doctor has no --zzz; `python -m nst_tf doctor --help` lists its options"),
    ],
)
def test_an_unknown_option_is_answered_with_the_likely_one(nst_tf, arguments, advice):
    refused = nst_tf(*arguments)
    assert refused.returncode == 2
    assert advice in refused.stderr


def test_a_size_too_small_is_rejected_with_the_images_name(nst_tf, files, tmp_path):
    refused = nst_tf("stylize", *files, "-o", tmp_path / "x.png", "--size", 36, "--features", "slim")
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 1)
    assert "the content image would be 36 × 27" in refused.stderr


def test_unknown_recipe_is_one_line_and_status_2(nst_tf, files, tmp_path):
    refused = nst_tf("stylize", *files, "-o", tmp_path / "x.png", "--recipe", "mystery")
    assert refused.returncode == 2
    assert "studio" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_python_without_the_packages_says_where_they_are(nst_tf, monkeypatch):
    def recipes(options):
        raise ModuleNotFoundError("No module named 'PIL'", name="PIL")

    monkeypatch.setattr("nst_tf.cli.commands.recipes", recipes)
    done = nst_tf("recipes")
    assert done.returncode == 2
    assert "no PIL" in done.stderr
    assert ".venv/bin/activate" in done.stderr


def test_ctrl_c_keeps_the_best_picture_and_ends_with_130(files, tmp_path):
    out = tmp_path / "x.png"
    arguments = ["stylize", *map(str, files), "-o", str(out), "--features", "slim", "--steps", "100000"]
    process = subprocess.Popen([sys.executable, "-u", "-m", "nst_tf", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        seen = ""
        while "100000" not in seen:  # the progress bar: optimization has begun
            character = process.stdout.read(1)
            assert character, "it ended before it began"
            seen += character
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted, best picture kept" in rest
    assert Image.open(out).size == (64, 48)


def test_help_and_import_do_not_load_tensorflow_or_matplotlib():
    check = (
        "import sys, nst_tf, nst_tf.__main__ as m\n"
        "try: m.main(['stylize', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--features" in done.stdout


def test_every_public_name_is_there():
    import nst_tf as package

    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        package.nonsense  # noqa: B018


def test_recipes_are_listed_and_explained(capsys):
    assert main(["recipes"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 9
    assert main(["recipes", "coursera"]) == 0
    assert "block5_conv4" in capsys.readouterr().out
    assert main(["recipes", "mystery"]) == 2
    assert "tf_tutorial" in capsys.readouterr().err


@pytest.fixture
def named_files(tmp_path, pair, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, picture in zip(("c.png", "s.png"), pair, strict=True):
        save_image(picture, name)
    os.symlink("c.png", "link.png")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        "stylize c.png s.png -o c.png",
        "stylize c.png s.png -o s.png",
        "stylize c.png s.png -o link.png",
        "stylize c.png s.png -o x.png --plot c.png",
        "stylize c.png s.png -o x.png --plot x.png",
        "stylize c.png s.png -o x.png --checkpoint s.png",
        "stylize c.png s.png -o m.png --mask m.png",
        "texture s.png -o s.png",
        "reconstruct c.png -o c.png",
        "many jobs.csv --report jobs.csv",
    ],
)
def test_no_input_is_written_over(named_files, capsys, arguments):
    save_image(np.ones((1, 48, 64, 3), np.float32), "m.png")
    (named_files / "jobs.csv").write_text("content,style,output\nc.png,s.png,o.png\n")
    before = {path.name: path.read_bytes() for path in named_files.iterdir()}
    assert main(arguments.split()) == 2
    assert "would be lost" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in named_files.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("stylize c.png s.png -o x.png --style-scale inf", "style_scale is inf"),
        ("stylize c.png s.png -o x.png --style-scale 1e308", "style_scale is 1e+308"),
        ("stylize c.png s.png -o x.png --steps 99999999999999", "expected at most"),
        ("stylize c.png s.png -o x.png --size 99999999 --set upscale=true", "a side has at most 65535"),
        ("stylize c.png s.png -o x.png --checkpoint mine.csv", "is no checkpoint, so it stays"),
        ("stylize c.png s.png -o x.png --style-scale 1e-9", "style-scale"),
        ("stylize c.png s.png -o x.png --plot x.pdf", "does not end in .png"),
        ("stylize c.png s.png -o x.png --set style_layers=block1_conv1:0", "the style would count for nothing"),
        ("regions c.png -o r --count 1000000000", "expected 2 to 100"),
        ("texture s.png -o x.png --size 3000000", "a side has at most 65535"),
        ("many jobs.csv --report x.png", "does not end in .csv"),
        ("many jobs.csv --report mine.csv", "is not a report"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_leaves_every_file_as_it_was(
    named_files, capsys, arguments, said
):
    (named_files / "jobs.csv").write_text("content,style,output\nc.png,s.png,o.png\n")
    (named_files / "mine.csv").write_text("name,price\nbread,2\n")
    before = {path.name: path.read_bytes() for path in named_files.iterdir()}
    assert main([*arguments.split(), *(() if "regions" in arguments else ("--features", "slim"))]) == 2
    assert said in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in named_files.iterdir() if path.is_file()} == before


def test_where_memory_does_not_suffice_the_command_says_so(named_files, capsys, monkeypatch):
    monkeypatch.setattr("nst_tf.pictures.reading._resize", lambda *_: np.zeros((2**40, 2**20), np.uint8))
    assert main(["stylize", "c.png", "s.png", "-o", "x.png", "--features", "slim"]) == 2
    assert "not enough memory" in capsys.readouterr().err


def test_a_name_that_is_not_utf_8_is_written(named_files):
    name = os.fsdecode(b"st\xe9.png")
    assert main(["stylize", "c.png", "s.png", "-o", name, "--features", "slim", "--steps", "1"]) == 0
    assert os.path.exists(name)


def test_a_picture_that_cannot_be_saved_is_rescued_and_the_message_says_where(named_files, capsys, monkeypatch):
    import nst_tf.transfer

    def full(image, path, **options):
        if os.path.basename(path) == "x.png":
            raise OSError(28, "No space left on device")
        return save_image(image, path, **options)

    monkeypatch.setattr(nst_tf.transfer, "save_image", full)
    assert main(["stylize", "c.png", "s.png", "-o", "x.png", "--features", "slim", "--steps", "1"]) == 1
    said = capsys.readouterr().out
    (rescued,) = named_files.glob("stylized-*.png")
    assert rescued.name in said and "No space left" in said


def test_in_a_log_a_run_says_how_far_it_is_in_plain_lines_and_not_in_each_step(nst_tf, files, tmp_path):
    done = nst_tf("stylize", *files, "-o", tmp_path / "x.png", "--features", "slim", "--steps", 40)
    assert not set(done.stdout) & set("\r\b\x1b")
    steps = [line for line in done.stdout.splitlines() if line.startswith("step ")]
    assert steps[0].startswith("step 1/40, loss ")
    assert steps[-1].startswith("step 40/40, loss ")
    assert len(steps) < 10


@pytest.mark.parametrize(("kind", "lines"), [("xterm", 1), ("dumb", 2)])
def test_on_a_terminal_one_line_is_written_over(capsys, monkeypatch, kind, lines):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setenv("COLUMNS", "20")
    progress = _Progress("step")
    for step in range(1, 4):
        progress(step, 3, ", loss 1.2345678901234567890")
    said = capsys.readouterr().out
    assert said.count("\n") == lines
    if kind == "xterm":
        assert all(len(part) < 20 for part in said.rstrip("\n").split("\r"))


def test_a_stopped_run_leaves_the_cursor_at_the_beginning_of_a_line(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    progress = _Progress("step")
    progress(1, 3)
    progress.end_line()
    assert capsys.readouterr().out.endswith("\n")


def test_output_that_cannot_be_written_costs_no_picture(files, tmp_path, monkeypatch):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

        flush = isatty = lambda self: False
        fileno = os.open(os.devnull, os.O_WRONLY).__index__

    monkeypatch.setattr(sys, "stdout", Full())
    arguments = ["stylize", *map(str, files), "-o", str(tmp_path / "x.png"), "--features", "slim", "--steps", "1"]
    assert main(arguments) == 0
    assert (tmp_path / "x.png").exists()


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_make_rejects_a_misspelled_variable_before_it_paints_another_picture():
    folder = Path(__file__).resolve().parents[1]
    done = subprocess.run(["make", "--dry-run", "demo", "SZIE=64"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert "There is no variable SZIE" in done.stderr
    right = ["make", "--dry-run", "demo", "CONTENT=my photo.jpg", "SIZE=64"]
    done = subprocess.run(right, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"my photo.jpg"' in done.stdout and '_64"' in done.stdout
