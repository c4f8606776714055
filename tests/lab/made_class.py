"""A made class: 50 submissions of mixed quality, with the marks that each must get.

Makes them, marks them with `grade.py`, and compares: python tests/lab/made_class.py FOLDER (make lab-class).
"""

import copy
import csv
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from catalogue import LAB, ROOT, SOURCE, TASKS, wrong_answers
from nbformat.notebooknode import NotebookNode

RELEASE = ROOT / "notebooks" / "lab" / "style_transfer.ipynb"
LOOP = "while True:\n    pass"
STUBBORN_LOOP = "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"
HOG = "kept = []\nwhile True:\n    kept.append(np.ones(2**27))"
READ = """
found = []
for folder in [FOLDER, *FOLDER.resolve().parents, Path(nst_tf.__file__).resolve().parent.parent]:
    found += folder.glob("notebooks/course_lab/source/*/*.ipynb")
    found += folder.glob("outputs/lab*/course/source/*/*.ipynb")
import json
cells = json.loads(found[0].read_text())["cells"]
answer = next("".join(cell["source"]) for cell in cells if "def gram_matrix" in "".join(cell["source"]))
exec(answer)
"""
CALL = "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}/', timeout=3)\n"


def named(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """Return the cells that nbgrader knows, by their names."""
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}


def submission(answers: dict[int, str]) -> NotebookNode:
    """Return the student version with some tasks answered."""
    notebook = nbformat.read(RELEASE, as_version=4)
    for task, code in answers.items():
        named(notebook)[f"task_{task:02}"].source = code
    return notebook


def solutions() -> dict[int, str]:
    """Return the right answers by task."""
    cells = named(nbformat.read(SOURCE, as_version=4))
    return {task: cells[f"task_{task:02}"].source for task in TASKS}


def points() -> dict[int, float]:
    """Return the points by task."""
    cells = named(nbformat.read(SOURCE, as_version=4))
    return {task: cells[f"check_{task:02}"].metadata.nbgrader.points for task in TASKS}


def damaged() -> dict[str, tuple[Callable[[], NotebookNode | bytes], set[int]]]:
    """Return, by student, a submission that something happened to, and the tasks whose points it must lose."""
    right = solutions()
    everything = set(TASKS)

    def changed(change: Callable[[NotebookNode], None], answers: dict[int, str] | None = None):
        def make() -> NotebookNode:
            notebook = submission({**right, **(answers or {})})
            change(notebook)
            return notebook

        return make

    def lose_metadata(notebook, ids=False):
        for cell in notebook.cells:
            cell.metadata = NotebookNode()
            if ids:
                cell.id = f"new{notebook.cells.index(cell)}"

    def rename_cells(notebook):
        for name in ("task_01", "check_01", "task_04"):
            named(notebook)[name].metadata.nbgrader["grade_id"] = f"my-{name}"

    def delete_checks(notebook):
        notebook.cells = [
            c for c in notebook.cells if "check_0" not in c.metadata.get("nbgrader", {}).get("grade_id", "")
        ]

    def soften_checks(notebook):
        for name, cell in named(notebook).items():
            if name.startswith("check_"):
                cell.source = "print('passed')"
                cell.metadata.nbgrader["points"] = 1000

    def double_cells(notebook):
        cell = copy.deepcopy(named(notebook)["task_03"])
        cell.id, cell.source = "another", right[3]
        notebook.cells.insert(notebook.cells.index(named(notebook)["task_03"]) + 1, cell)

    def add_cells(notebook):
        place = notebook.cells.index(named(notebook)["task_02"])
        notebook.cells.insert(
            place, nbformat.v4.new_code_cell("def mean_of_squares(x):\n    return tf.reduce_mean(x * x)")
        )
        named(notebook)[
            "task_02"
        ].source = "def content_loss(features, target):\n    return mean_of_squares(features - target)"

    def much_output(notebook):
        notebook.cells.insert(9, nbformat.v4.new_code_cell("for _ in range(20_000):\n    print('x' * 100)"))

    def graph_mode(notebook):
        notebook.cells.insert(9, nbformat.v4.new_code_cell("tf.compat.v1.disable_eager_execution()"))

    def nothing(notebook):
        pass

    whole = json.dumps(submission(right)).encode()
    body = "def {0}(*arguments, **named):\n    {1}"
    indented = {
        name: code.replace("\n", "\n    ") for name, code in (("loop", LOOP), ("stubborn", STUBBORN_LOOP), ("hog", HOG))
    }
    return {
        "empty_file": (lambda: b"", everything),
        "cut_off": (lambda: whole[: len(whole) // 2], everything),
        "not_a_notebook": (lambda: b"%PDF-1.7 \xff\xfe this is no notebook", everything),
        "some_json": (lambda: b'{"answers": [1, 2, 3]}', everything),
        "lost_metadata": (changed(lose_metadata), set()),
        "lost_metadata_and_ids": (changed(lambda notebook: lose_metadata(notebook, ids=True)), set()),
        "renamed_cells": (changed(rename_cells), set()),
        "deleted_checks": (changed(delete_checks, {2: body.format("content_loss", "return 0.0")}), {2}),
        "softened_checks": (changed(soften_checks, {6: body.format("total_loss", "return 0.0")}), {6}),
        "doubled_cells": (changed(double_cells, {3: "def layer_style_loss(*_):\n    return 0"}), set()),
        "added_cells": (changed(add_cells), set()),
        "much_output": (changed(much_output), set()),
        "graph_mode": (changed(graph_mode), set()),
        "endless_loop": (changed(nothing, {5: body.format("total_variation_loss", indented["loop"])}), {5}),
        "stubborn_loop": (changed(nothing, {2: body.format("content_loss", indented["stubborn"])}), {2}),
        "memory_hog": (changed(nothing, {6: body.format("total_loss", indented["hog"])}), {6}),
        "ends_python": (changed(nothing, {3: body.format("layer_style_loss", "import os; os._exit(0)")}), {3}),
        "leaves_early": (changed(nothing, {4: body.format("style_loss", "raise SystemExit")}), {4}),
        "reads_the_solution": (changed(nothing, {1: READ}), {1}),
        "calls_home": (changed(nothing, {7: CALL.format(port=9) + right[7]}), {7}),
        "wrong_syntax": (changed(nothing, {9: "def train_step(image, loss_of, optimizer)\n    return 0"}), {9}),
        "gräfin 'o neill; (1)": (changed(nothing), set()),
        "=HYPERLINK(1)": (changed(nothing), set()),
    }


def make_class(folder: Path, size: int = 50, seed: int = 8) -> dict[str, dict[int, float]]:
    """Write a class of submissions; return by student's file the points by task that they must get."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    draw, right, worth = random.Random(seed), solutions(), points()
    catalogue = list(wrong_answers())
    made = {name: (make(), lost) for name, (make, lost) in damaged().items()}
    made["untouched"] = (submission({}), set(TASKS))
    while len(made) < size:
        number = len(made)
        lost, answers = set(), dict(right)
        for wrong in draw.sample(catalogue, k=number % 5):
            lost.add(wrong.task)
            answers[wrong.task] = wrong.code
        if number % 7 == 0:
            for task in range(draw.randint(3, 9), 11):
                lost.add(task)
                answers.pop(task, None)
        made[f"student_{number:02}"] = (submission(answers), lost)
    expected = {}
    for number, (name, (notebook, lost)) in enumerate(made.items()):
        # Half of them as downloaded from Colab, half of them in nbgrader's layout.
        path = folder / f"{name}.ipynb" if number % 2 else folder / name / "style_transfer" / "style_transfer.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(notebook, bytes):
            path.write_bytes(notebook)
        else:
            nbformat.write(notebook, path)
        expected[name] = {task: 0 if task in lost else worth[task] for task in TASKS}
    return expected


def compare(table: Path, expected: dict[str, dict[int, float]]) -> list[str]:
    """Return what differs between marks.csv and the marks that were expected."""
    sys.path.insert(0, str(LAB))
    from grade import harmless
    from submissions import student_name

    with open(table, encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    wrong = [] if len(rows) == len(expected) else [f"{len(rows)} lines for {len(expected)} students"]
    for name, marks in expected.items():
        row = rows.get(harmless(student_name(name)))
        if row is None:
            wrong.append(f"{name} is missing")
            continue
        for task, mark in marks.items():
            if float(row[f"task_{task:02}"] or 0) != mark:
                wrong.append(f"{name}, task {task}: {row[f'task_{task:02}']} instead of {mark} ({row['remarks']})")
        if float(row["total"]) != sum(marks.values()):
            wrong.append(f"{name}: {row['total']} in all instead of {sum(marks.values())}")
    return wrong


def main(folder: Path) -> None:
    """Make the class, mark it, and say what differs."""
    expected = make_class(folder)
    outputs = folder.parent / f"{folder.name}_marks"
    shutil.rmtree(outputs, ignore_errors=True)
    began = time.monotonic()
    command = [sys.executable, str(LAB / "grade.py"), str(folder), "--outputs", str(outputs)]
    subprocess.run(command, check=True, cwd=ROOT)
    wrong = compare(outputs / "marks.csv", expected)
    print("\n".join(wrong))
    print(f"{len(expected)} submissions in {(time.monotonic() - began) / 60:.1f} minutes, {len(wrong)} marks differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
