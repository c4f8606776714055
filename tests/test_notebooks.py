import base64
import io
import os
import re
import shutil
import subprocess
import sys

import keras
import nbformat
import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image

import nst_tf

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
SMALL = {"SIZE": "96", "STEPS": "4", "LONG": "6", "FEATURES": '"slim"'}
WHOLE_METHOD = "whole-method"  # the cell of notebook 07
FORBIDDEN_WORDS = r"\b(just|simply|easily|obviously|of course)\b"


@pytest.fixture(params=NOTEBOOKS, ids=NAMES)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def repository(notebook):
    """The address in a notebook's setup cell; empty where nothing points at one."""
    return re.search(r'^REPOSITORY = "(.*?)"', code_cells(notebook)[0].source, re.MULTILINE)[1]


def test_the_numbered_notebooks_are_all_there():
    assert [name[:2] for name in NAMES] == [f"{number:02}" for number in range(len(NAMES))]
    assert len(NAMES) >= 9


def test_title_and_promises_come_first(notebook):
    first = notebook.cells[0].source
    assert re.match(r"# [A-Z]\w.*\n", first)
    assert "**You will learn**" in first
    assert re.search(r"\*\*Time:\*\*.*GPU.*CPU", first)
    assert markdown(notebook).count("\n# ") == 0


def test_badge_opens_the_address_of_the_set_up_and_is_not_there_without_one(path, notebook):
    address, first = repository(notebook), notebook.cells[0].source
    place = f"{address.removeprefix('https://')}/blob/main/notebooks/{path.name}"
    opened = f"https://colab.research.google.com/{place.replace('github.com', 'github', 1)}"
    assert re.findall(r"\((https://colab\.research\.google\.com/github/.*?)\)", first) == [opened] * bool(address)


def test_set_up_cell_is_the_same_everywhere_and_folded(notebook):
    set_up = code_cells(notebook)[0]
    assert set_up.source == code_cells(nbformat.read(NOTEBOOKS[0], as_version=4))[0].source
    assert set_up.source.startswith("# @title") and set_up.metadata["cellView"] == "form"  # Colab
    assert set_up.metadata["jupyter"]["source_hidden"]  # JupyterLab
    assert len(set_up.source.splitlines()) < 25


FAKE_PACKAGE = "def set_up_notebook(): return f'this is {__file__}'"


@pytest.mark.parametrize("home", ["beside", "installed", "cloned before", "in the zip", "nowhere"])
def test_set_up_finds_the_package(tmp_path, home):
    folder, package = tmp_path / "notebooks", tmp_path / "elsewhere"
    package = {"beside": tmp_path, "cloned before": folder / "neural-style-transfer"}.get(home, package)
    for name in (folder, package / "nst_tf", package / "images"):
        name.mkdir(parents=True)
    (package / "nst_tf" / "__init__.py").write_text(FAKE_PACKAGE)
    if home == "in the zip":
        shutil.make_archive(folder / "nst_tf_colab", "zip", package)
    source = re.sub('^REPOSITORY = ".*?"', 'REPOSITORY = ""', set_up_source(), flags=re.MULTILINE)
    # With -S no installed nst_tf is found but the one that PYTHONPATH names.
    command = [sys.executable, "-S", "-c", source]
    environment = {"PYTHONPATH": str(package)} if home == "installed" else {}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if home == "nowhere":
        assert "upload nst_tf_colab.zip" in run.stderr.splitlines()[-1]
    else:
        found = folder / "neural-style-transfer" if home == "in the zip" else package
        assert run.stdout == f"this is {found / 'nst_tf' / '__init__.py'}\n", run.stderr


def set_up_source():
    return code_cells(nbformat.read(NOTEBOOKS[0], as_version=4))[0].source


def test_parameters_come_second_in_colabs_form(notebook):
    parameters = code_cells(notebook)[1]
    assert parameters.metadata.get("tags") == ["parameters"]
    assert all(re.match(r"[A-Z_]+ = .*# @param", line) for line in parameters.source.splitlines())
    uses_a_network = any("FEATURES" in cell.source for cell in code_cells(notebook)[2:])
    # A lesson that is about VGG19 itself names it.
    assert bool(re.search('FEATURES = "(auto|vgg19)"', parameters.source)) == uses_a_network


def test_prose_is_read_in_ten_minutes(notebook):
    assert len(markdown(notebook).split()) <= 1500


def test_cells_and_code_are_short(notebook):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook) if cell.id != WHOLE_METHOD]
    assert max(lengths) <= 25
    assert sum(lengths) <= 300


def test_the_whole_method_is_one_cell_that_lowers_the_loss_with_nothing_but_the_weights_from_the_package(monkeypatch):
    notebook = nbformat.read(next(path for path in NOTEBOOKS if path.stem.startswith("07")), as_version=4)
    (cell,) = (cell for cell in code_cells(notebook) if cell.id == WHOLE_METHOD)
    assert len(cell.source.splitlines()) <= 45
    assert re.findall(r"nst_tf\.\w+", cell.source) == ["nst_tf.keras_vgg19"]
    keras.utils.set_random_seed(0)
    random = keras.applications.VGG19(include_top=False, weights=None)
    monkeypatch.setattr(nst_tf, "keras_vgg19", lambda: random)
    inputs = {"FOLDER": REPOSITORY, "SIZE": 64, "STEPS": 2, "CONTENT": "pagoda", "STYLE": "starry_night"}
    names = {**inputs, "nst_tf": nst_tf}
    exec(cell.source, names)
    before, picture = names["content_image"], names["image"]
    assert picture.shape == before.shape == (1, 43, 64, 3)
    assert np.min(picture) >= 0 and np.max(picture) <= 1
    objective = nst_tf.make_objective(
        nst_tf.RECIPES["gram"].changed(border="zeros"),
        nst_tf.keras_features(names["network"], list(names["network"].output), preprocessing="caffe"),
        before,
        names["style_image"],
    )
    assert objective(picture).total < objective(before).total


def test_exercises_summary_and_references_end_it(notebook):
    text = markdown(notebook)
    positions = [text.index(f"## {heading}") for heading in ("Exercises", "Summary", "References")]
    assert positions == sorted(positions)
    exercises = text[positions[0] : positions[1]]
    assert 3 <= len(re.findall(r"^\d\. ", exercises, re.MULTILINE)) <= 5


def test_prose_keeps_the_house_style(notebook):
    text = markdown(notebook)
    assert not re.search(FORBIDDEN_WORDS, text, re.IGNORECASE)
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        words = [word for word in re.findall(r"[A-Za-z]\w+", heading)[1:] if word.istitle()]
        proper = {"Gram", "Python", "Colab", "Adam", "Inception", "Keras", "Tensor", "Flow", "Google", "Pillow"}
        assert set(words) <= proper, heading


def test_committed_run_is_complete_and_clean(notebook):
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
    assert "widgets" not in notebook.metadata
    assert not any("widget" in kind for output in outputs(notebook) for kind in output.get("data", {}))


def test_committed_run_shows_figures_and_stays_small(path, notebook):
    # 07 shows the whole method's picture at 512 pixels, twice: 1.19 MB.
    assert path.stat().st_size < 1_250_000
    figures = [output.data for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert figures == []
    jpegs = [output.data["image/jpeg"] for output in outputs(notebook) if "image/jpeg" in output.get("data", {})]
    assert jpegs, "no figure at all"
    for jpeg in jpegs:
        with Image.open(io.BytesIO(base64.b64decode(jpeg))) as picture:
            assert min(picture.size) > 60


def test_no_path_of_a_machine_is_committed(path):
    assert not re.search(r"/(root|home|work|tmp|Users)/", path.read_text())


def test_every_name_used_exists(notebook):
    code = "\n".join(cell.source for cell in notebook.cells)
    for name in set(re.findall(r"\bnst_tf\.([a-z_A-Z]\w*)", code)) - {"tools", "engine"}:
        assert hasattr(nst_tf, name) or (REPOSITORY / "nst_tf" / f"{name}.py").exists(), name


def test_colab_is_imported_only_where_it_is_asked_for(notebook):
    for cell in code_cells(notebook):
        if "google.colab import" in cell.source or "import google.colab" in cell.source:
            assert "in_colab()" in cell.source


@pytest.fixture
def copy(tmp_path):
    """A copy of what make links changes, in a repository of its own without a remote."""
    for name in ("Makefile", "pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, tmp_path)
    shutil.copytree(REPOSITORY / "notebooks", tmp_path / "notebooks")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def test_links_are_pointed_at_gits_remote_at_another_repository_and_at_none(copy):
    paths = [copy / "README.md", copy / "pyproject.toml", *(copy / "notebooks").rglob("*.ipynb")]
    remote = ["git", "-C", str(copy), "remote"]
    run_links(copy)
    bare = [path.read_bytes() for path in paths]
    subprocess.run([*remote, "add", "origin", "git@github.com:someone/something.git"], check=True)
    run_links(copy)
    assert all("/someone/something" in path.read_text() for path in paths)
    run_links(copy, "REPO=someone/else")
    assert all("/someone/else" in path.read_text() for path in paths)
    assert not any("someone/something" in path.read_text() for path in paths if path.suffix == ".ipynb")
    subprocess.run([*remote, "remove", "origin"], check=True)
    run_links(copy)
    assert [path.read_bytes() for path in paths] == bare


def test_the_page_has_links_where_there_is_a_repository_and_is_whole_without(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "docs" / "try")
    import page

    html = (page.HERE / "index.html").read_text(encoding="utf-8")
    linked = page.with_links(html, "https://github.com/someone/something")
    assert linked.count("https://github.com/someone/something") == html.count("REPOSITORY") > 5
    bare = page.with_links(html, "")
    assert "REPOSITORY" not in bare
    assert bare.count("<a ") == html.count("<a ") - html.count("REPOSITORY") == bare.count("</a>")


def run_links(folder, *arguments):
    done = subprocess.run(["make", "links", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run_with_small_parameters(path, folder, times=1):
    """Run a copy of a notebook in a folder from top to bottom, each cell so many times, and fail if one does."""
    for name in ("nst_tf", "images"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / "notebooks").mkdir()
    copy = folder / "notebooks" / path.name
    notebook = nbformat.read(path, as_version=4)
    parameters = code_cells(notebook)[1]
    for parameter, value in SMALL.items():
        parameters.source = re.sub(
            rf"^{parameter} = \S+", f"{parameter} = {value}", parameters.source, flags=re.MULTILINE
        )
    repeated = [(cell, time) for cell in notebook.cells for time in range(times)]
    notebook.cells = [nbformat.from_dict({**cell, "id": f"{cell.id}-{time}"}) for cell, time in repeated]
    nbformat.write(notebook, copy)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=300", "-q", "-p", "no:cacheprovider", str(copy)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert run.returncode == 0, run.stdout[-4000:]


@pytest.mark.notebooks
def test_the_first_notebook_runs_from_top_to_bottom(tmp_path):
    run_with_small_parameters(NOTEBOOKS[0], tmp_path)
