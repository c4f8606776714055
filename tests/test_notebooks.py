import base64
import io
import os
import re
import subprocess
import sys

import nbformat
import pytest
from conftest import REPOSITORY
from PIL import Image

import nst_tf

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
SMALL = {"SIZE": "96", "STEPS": "4", "LONG": "6", "FEATURES": '"slim"'}
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


def repository():
    # By hand, for Python 3.10 has no reader of TOML.
    return re.search(r'^Repository = "(.*)"$', (REPOSITORY / "pyproject.toml").read_text(), re.MULTILINE)[1]


def test_the_numbered_notebooks_are_all_there():
    assert [name[:2] for name in NAMES] == [f"{number:02}" for number in range(len(NAMES))]
    assert len(NAMES) >= 9


def test_title_badge_and_promises_come_first(path, notebook):
    first = notebook.cells[0].source
    slug = repository().removeprefix("https://github.com/")
    assert re.match(r"# [A-Z]\w.*\n", first)
    assert f"https://colab.research.google.com/github/{slug}/blob/main/notebooks/{path.name})" in first
    assert "**You will learn**" in first
    assert re.search(r"\*\*Time:\*\*.*GPU.*CPU", first)
    assert markdown(notebook).count("\n# ") == 0


def test_set_up_cell_is_the_same_everywhere_short_and_names_the_repository(notebook):
    set_up = code_cells(notebook)[0].source
    assert set_up == code_cells(nbformat.read(NOTEBOOKS[0], as_version=4))[0].source
    assert len(set_up.splitlines()) < 19  # three of them for whoever uploads the zip to Colab
    assert f'REPOSITORY = "{repository()}"' in set_up
    assert not re.search(r"pip|install", set_up)


def test_parameters_come_second_in_colabs_form(notebook):
    parameters = code_cells(notebook)[1]
    assert parameters.metadata.get("tags") == ["parameters"]
    assert all(re.match(r"[A-Z_]+ = .*# @param", line) for line in parameters.source.splitlines())
    # A lesson that is about VGG19 itself names it.
    assert re.search('FEATURES = "(auto|vgg19)"', parameters.source)


def test_cells_and_code_are_short(notebook):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(notebook)]
    assert max(lengths) <= 25
    assert sum(lengths) <= 300


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
    assert path.stat().st_size < 1_000_000
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


def test_links_are_pointed_at_another_repository_everywhere(tmp_path):
    for name in ("Makefile", "pyproject.toml", "README.md", "notebooks"):
        source = REPOSITORY / name
        copy = subprocess.run(["cp", "-r", str(source), str(tmp_path / name)])
        assert copy.returncode == 0
    done = subprocess.run(["make", "links", "REPO=someone/something"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'Repository = "https://github.com/someone/something"' in (tmp_path / "pyproject.toml").read_text()
    for path in [tmp_path / "README.md", *(tmp_path / "notebooks").rglob("*.ipynb")]:
        assert "-owner-" not in re.sub(r'-owner-\\?" in REPOSITORY', "", path.read_text()), path.name


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
