import contextlib
import csv
import json
import os
import re
import socket
import subprocess
import sys
import types
import zipfile

import catalogue
import made_class
import mend
import nbformat
import pytest
import sandbox
import submissions
from catalogue import HIDDEN, LAB, SOURCE, TASKS
from conftest import REPOSITORY
from made_class import RELEASE, named

WRONG = list(catalogue.wrong_answers())


@pytest.fixture(scope="module")
def lab():
    return catalogue.Lab()


@pytest.fixture(scope="module")
def source():
    return nbformat.read(SOURCE, as_version=4)


@pytest.fixture(scope="module")
def release():
    return nbformat.read(RELEASE, as_version=4)


def test_points_sum_to_100_and_one_task_is_marked_by_a_person(source):
    worth = {name: cell.metadata.nbgrader.get("points", 0) for name, cell in named(source).items()}
    assert sum(worth.values()) == 100
    assert worth["task_11"] == 10
    assert named(source)["task_11"].metadata.nbgrader.solution


def test_every_task_has_theory_before_it_and_a_picture_after_its_check(source):
    cells = list(source.cells)
    for task in TASKS:
        place = cells.index(named(source)[f"task_{task:02}"])
        theory = [cell.source for cell in cells[:place] if cell.cell_type == "markdown"][-1]
        assert theory.startswith(f"## Task {task}: ")
        assert len(theory) > 200
        assert cells[place + 1] is named(source)[f"check_{task:02}"]
        pictures = [out for out in cells[place + 2].outputs if "image/jpeg" in out.get("data", {})]
        assert pictures, task


def test_points_in_headings_are_those_of_the_checks(source):
    for task in TASKS:
        text = next(cell.source for cell in source.cells if cell.source.startswith(f"## Task {task}: "))
        assert f"({named(source)[f'check_{task:02}'].metadata.nbgrader.points} points)" in text.splitlines()[0]


@pytest.mark.parametrize("task", TASKS)
def test_check_passes_the_solution_and_looks_at_no_other_task(lab, task):
    other = {number: lab.solution(number) for number in TASKS if number != task}
    functions = [re.search(r"def (\w+)", code)[1] for code in other.values()]
    rubbish = "\n".join(f"def {name}(*_, **__): return 'rubbish'" for name in functions)
    assert lab.said(task, {0: rubbish, task: lab.solution(task)}, hidden=True) is None


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_wrong_answer_is_caught_and_its_hint_names_the_mistake(lab, wrong):
    visible, whole = lab.judge(wrong)
    assert whole is not None
    if wrong.hint:
        assert wrong.hint in visible


def test_catalogue_is_large_enough_and_hints_at_most_of_it():
    assert len(WRONG) >= 40
    assert sum(wrong.hint is not None for wrong in WRONG) >= 30
    assert {wrong.task for wrong in WRONG} == set(TASKS)
    assert len({str(wrong) for wrong in WRONG}) == len(WRONG)


def test_checks_never_take_their_expected_values_from_nst_tf(source):
    for task in range(1, 10):
        assert "nst_tf." not in named(source)[f"check_{task:02}"].source


def test_hidden_tests_and_solutions_are_not_in_the_student_version(release):
    text = RELEASE.read_text()
    assert "HIDDEN TESTS" not in text
    assert "SOLUTION" not in text
    for task in TASKS:
        assert "raise NotImplementedError()" in named(release)[f"task_{task:02}"].source
    assert not any(cell.get("outputs") for cell in release.cells)


def test_student_version_is_the_source_without_solutions_and_hidden_tests(source, release):
    assert len(source.cells) == len(release.cells)
    for given, made in zip(source.cells, release.cells, strict=True):
        name = given.metadata.get("nbgrader", {}).get("grade_id", "")
        if name.startswith("check_"):
            assert made.source.strip() == HIDDEN.sub("", given.source + "\n").strip()
        elif not name.startswith("task_"):
            assert made.source == given.source


def test_untouched_student_version_passes_no_check_and_runs_until_the_first(lab, release):
    answers = {task: named(release)[f"task_{task:02}"].source for task in TASKS}
    for task in TASKS:
        assert "needs your code" in lab.said(task, answers, hidden=False)


def answered(**changes):
    """Return a submission that is right but for some answers, by task_01 and so on."""
    return made_class.submission({**made_class.solutions(), **{int(name[-2:]): code for name, code in changes.items()}})


def cells_by_name(notebook):
    return {name: cell.source for name, cell in named(notebook).items()}


def test_whole_submission_is_left_as_it_is(release):
    mended, remarks = mend.mend(answered(), release)
    assert remarks == []
    assert cells_by_name(mended) == cells_by_name(answered())


def test_submission_without_metadata_gets_its_names_back(release):
    bare = answered()
    for number, cell in enumerate(bare.cells):
        cell.metadata, cell.id = nbformat.NotebookNode(), f"other-{number}"
    mended, _ = mend.mend(bare, release)
    assert cells_by_name(mended) == cells_by_name(answered())


def test_deleted_cells_come_back_where_they_stood(release):
    torn = answered()
    gone = {"check_02", "inputs", "check_10"}
    torn.cells = [cell for cell in torn.cells if cell.metadata.get("nbgrader", {}).get("grade_id") not in gone]
    mended, remarks = mend.mend(torn, release)
    assert list(named(mended)) == list(named(release))
    parameters = next(index for index, cell in enumerate(mended.cells) if cell.source.startswith("SIZE"))
    assert parameters < mended.cells.index(named(mended)["inputs"])
    assert remarks == ["put back: inputs, check_02, check_10"]


def test_no_stub_comes_over_an_answer_that_stands_in_another_cell(release):
    merged = answered()
    first, second = named(merged)["task_01"], named(merged)["task_02"]
    first.source += "\n\n\n" + second.source
    merged.cells.remove(second)
    mended, _ = mend.mend(merged, release)
    assert "task_02" not in named(mended)
    assert "def content_loss" in named(mended)["task_01"].source


def test_of_two_answers_the_last_counts(release):
    doubled, _ = mend.mend(made_class.damaged()["doubled_cells"][0](), release)
    assert named(doubled)["task_03"].source == made_class.solutions()[3]


def test_written_answer_is_found_beside_its_cell(release):
    beside = answered()
    place = beside.cells.index(named(beside)["task_11"])
    beside.cells.insert(place + 1, nbformat.v4.new_markdown_cell("I changed the style weight."))
    mended, remarks = mend.mend(beside, release)
    assert named(mended)["task_11"].source == "I changed the style weight."
    assert remarks == ["task_11 was found beside its cell"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"%PDF",
        b"[]",
        b"{}",
        b'{"cells": [{}], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_notebook_is_refused_in_words(data, tmp_path):
    (tmp_path / "anna.ipynb").write_bytes(data)
    with pytest.raises(mend.CannotOpenError, match=r"notebook|empty"):
        mend.read_submission(tmp_path / "anna.ipynb")


def test_half_a_character_does_not_stop_the_marking(tmp_path, release):
    notebook = answered()
    notebook.cells.append(nbformat.v4.new_markdown_cell("half an emoji: HALF"))
    (tmp_path / "anna.ipynb").write_text(json.dumps(notebook).replace("HALF", "\\ud83d"))
    mended, _ = mend.mend(mend.read_submission(tmp_path / "anna.ipynb"), release)
    nbformat.write(mended, tmp_path / "mended.ipynb")


MOODLE = "Ada Example_12345_assignsubmission_file_"


def hand_in(folder, *names):
    """Write a file under each name, and return by student the names of the files that are found for them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return {each.student: each.path.relative_to(folder).as_posix() for each in submissions.find_submissions(folder)}


def test_moodles_folder_for_each_student_is_taken_as_it_is(tmp_path):
    other = "Ada Example_678_assignsubmission_file"  # of the same name, from a Moodle that ends the folder so
    names = f"{MOODLE}/style_transfer.ipynb", f"{other}/my lab (1).ipynb", f"{MOODLE}/.ipynb_checkpoints/x.ipynb"
    assert hand_in(tmp_path, *names) == {"Ada_Example_12345": names[0], "Ada_Example_678": names[1]}


def test_moodles_files_in_one_folder_are_given_to_their_students(tmp_path):
    names = f"{MOODLE}style_transfer.ipynb", "Özge Ü_9_assignsubmission_file_lab.ipynb"
    assert hand_in(tmp_path, *names) == {"Ada_Example_12345": names[0], "Özge_Ü_9": names[1]}


def test_a_student_of_moodles_without_a_notebook_is_in_the_table_and_told(tmp_path):
    found = hand_in(tmp_path, f"{MOODLE}/essay.pdf", "berta.ipynb")
    assert found == {"Ada_Example_12345": f"{MOODLE}/essay.pdf", "berta": "berta.ipynb"}
    (tmp_path / MOODLE / "essay.pdf").write_bytes(b"%PDF-1.7")
    with pytest.raises(mend.CannotOpenError, match="not a notebook"):
        mend.read_submission(tmp_path / MOODLE / "essay.pdf")


def test_two_notebooks_of_one_student_of_moodles_are_both_there_and_say_so(tmp_path):
    found = hand_in(tmp_path, f"{MOODLE}/style_transfer.ipynb", f"{MOODLE}/older.ipynb")
    assert found["Ada_Example_12345"] == f"{MOODLE}/style_transfer.ipynb"
    assert found["Ada_Example_12345-2"] == f"{MOODLE}/older.ipynb"
    assert all("more than one file" in each.remarks[0] for each in submissions.find_submissions(tmp_path))


def test_files_are_given_to_the_students_they_are_from(tmp_path):
    plain = "anna.ipynb", "._anna.ipynb", "=1+1.ipynb", "Ödön Ü.ipynb", "a b.ipynb", ".ipynb_checkpoints/c.ipynb"
    berta = "berta/style_transfer/style_transfer.ipynb", "berta/style_transfer/style_transfer-Copy1.ipynb"
    found = hand_in(tmp_path, *plain, *berta, "carl/style_transfer.ipynb")
    assert found["anna"] == "anna.ipynb"
    assert [found["berta"], found["berta-2"]] == list(berta)
    assert found["carl"] == "carl/style_transfer.ipynb"
    assert {"Ödön_Ü", "a_b", "1_1"} <= set(found)
    assert len(found) == 7


def test_a_folder_without_a_submission_says_what_is_expected(tmp_path):
    with pytest.raises(SystemExit, match="Moodle"):
        hand_in(tmp_path, "notes.txt")


@pytest.mark.parametrize(
    "line",
    [
        "tf.compat.v1.disable_eager_execution()",
        "tf.disable_v2_behavior()  # as in the video",
        "disable_eager_execution()",
    ],
)
def test_a_line_that_switches_eager_execution_off_is_left_out_and_named(line, release):
    old = answered(task_02=f"if True:\n    {line}\n" + made_class.solutions()[2])
    mended, remarks = mend.mend(old, release)
    source = named(mended)["task_02"].source
    assert f"    pass  # Left out while marking: {line}\n" in source
    compile(source, "task_02", "exec")
    assert remarks == [f"left out while marking, as it switches eager execution off: {line}"]


def test_a_check_names_the_line_that_switched_eager_execution_off(lab):
    names = {"tf": types.SimpleNamespace(executing_eagerly=lambda: False)}
    names["In"] = ["import tensorflow as tf", "x = 1\ntf.compat.v1.disable_eager_execution()\n", "lab_task_1()"]
    exec(lab.cells["check_tools"], names)
    with pytest.raises(AssertionError, match=re.escape("the line `tf.compat.v1.disable_eager_execution()`")):
        names["lab_run"](1, lambda: 0)


@pytest.mark.skipif(not sandbox.has_namespaces(), reason="a process may not have namespaces of its own here")
def test_sandbox_shows_and_changes_nothing_but_its_own_folder(tmp_path):
    for name in ("work/own", "work/other", "secret"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("x")
    tries = f"""
        cat {tmp_path}/secret/file; cat {tmp_path}/work/other/file; echo x > {tmp_path}/written
        umount {tmp_path}/secret; kill -0 {os.getpid()}; rm -f {tmp_path}/work/own/file
    """
    own = tmp_path / "work" / "own"
    front = sandbox.prefix(own=own, work=own.parent, hide=[tmp_path / "secret"], memory_bytes=2**31)
    done = subprocess.run([*front, "sh", "-c", tries], cwd=own, capture_output=True, text=True)
    assert done.stdout == ""
    assert len([line for line in done.stderr.splitlines() if line]) == 5, done.stderr
    assert not (tmp_path / "written").exists()
    assert not (own / "file").exists()  # its own it may remove


def test_cut_sockets_refuse_addresses_of_the_network():
    code = "import socket, sandbox; sandbox.cut_sockets(); socket.create_connection(('127.0.0.1', 9), timeout=2)"
    done = subprocess.run([sys.executable, "-c", code], cwd=LAB, capture_output=True, text=True)
    assert "There is no network while a submission is marked." in done.stderr


def test_lab_without_a_network_download_or_nbgrader(source):
    code = "\n".join(cell.source for cell in source.cells if cell.cell_type == "code")
    assert "nbgrader" not in code
    assert "vgg19_features" not in code


# What follows marks submissions with nbgrader (make test-lab).


@pytest.fixture(scope="module")
def grading():
    pytest.importorskip("nbgrader")


@pytest.mark.lab
def test_committed_student_version_is_what_nbgrader_makes(grading, tmp_path):
    import course

    assert RELEASE.read_text() == course.student_version(course.make_course(tmp_path / "course"))


@pytest.mark.lab
def test_the_zip_holds_the_package_with_its_network_and_the_pictures(grading, tmp_path):
    import course

    course.pack(tmp_path / "lab.zip")
    with zipfile.ZipFile(tmp_path / "lab.zip") as packed:
        names = {name.removeprefix("style_transfer/") for name in packed.namelist()}
    assert {"style_transfer.ipynb", "nst_tf/features.py", "nst_tf/networks/slim.npz"} <= names
    assert any(name.startswith("images/style/") for name in names)


@pytest.mark.lab
def test_no_cell_of_the_table_is_a_formula(grading):
    import grade

    assert grade.harmless("=1+1") == "'=1+1"


@pytest.mark.lab
def test_small_class_gets_the_right_marks_and_a_second_call_marks_nothing_again(grading, tmp_path):
    chosen = [
        "lost_metadata_and_ids",
        "deleted_checks",
        "graph_mode",
        "ends_python",
        "reads_the_solution",
        "calls_home",
        "cut_off",
    ]
    expected = few(tmp_path / "class", [*chosen, "untouched", "right"])
    marks = tmp_path / "marks"
    command = [sys.executable, str(LAB / "grade.py"), str(tmp_path / "class"), "--outputs", str(marks)]
    with Listener() as callers:
        done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert made_class.compare(marks / "marks.csv", expected) == []
    assert callers == []
    for name in expected:
        feedback = (marks / "feedback" / f"{name}.html").read_text()
        assert len(feedback) > (100 if name == "cut_off" else 10_000)
    assert "cannot be opened" in (marks / "marks.csv").read_text()
    stamps = {path: path.stat().st_mtime_ns for path in (marks / "course" / "autograded").rglob("*.ipynb")}
    again = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    assert again.returncode == 0, again.stderr
    assert stamps == {path: path.stat().st_mtime_ns for path in (marks / "course" / "autograded").rglob("*.ipynb")}
    assert made_class.compare(marks / "marks.csv", expected) == []


def few(folder, names):
    """Write some submissions of the made class, and return the marks that they must get."""
    right, worth = made_class.solutions(), made_class.points()
    made = {name: (make(), lost) for name, (make, lost) in made_class.damaged().items()}
    made |= {"untouched": (made_class.submission({}), set(TASKS)), "right": (made_class.submission(right), set())}
    folder.mkdir()
    for name in names:
        content = made[name][0]
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / f"{name}.ipynb").write_bytes(data)
    return {name: {task: 0 if task in made[name][1] else worth[task] for task in TASKS} for name in names}


class Listener:
    """Listen on the port that the submission `calls_home` calls; the list holds who called."""

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 9))
        self.socket.listen()
        self.socket.settimeout(0.1)
        self.callers = []
        return self.callers

    def __exit__(self, *_):
        with contextlib.suppress(TimeoutError):
            self.callers.append(self.socket.accept()[1])
        self.socket.close()


@pytest.mark.lab
def test_written_marks_count_once_a_person_has_given_them(grading, tmp_path):
    from marking import database
    from nbgrader.api import Gradebook

    few(tmp_path / "class", ["right"])
    notebook = nbformat.read(tmp_path / "class" / "right.ipynb", as_version=4)
    named(notebook)["task_11"].source = "I changed the style weight."
    nbformat.write(notebook, tmp_path / "class" / "right.ipynb")
    marks = tmp_path / "marks"
    command = [sys.executable, str(LAB / "grade.py"), str(tmp_path / "class"), "--outputs", str(marks)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    row = next(csv.DictReader((marks / "marks.csv").read_text().splitlines()))
    assert (row["task_11"], row["total"]) == ("", "90")
    with Gradebook(database(marks / "course")) as gradebook:
        grade = gradebook.find_grade("task_11", "style_transfer", "style_transfer", "right")
        grade.manual_score, grade.needs_manual_grade = 7, False
        gradebook.db.commit()
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    row = next(csv.DictReader((marks / "marks.csv").read_text().splitlines()))
    assert (row["task_11"], row["total"]) == ("7", "97")
    assert "97.0" in (marks / "feedback" / "right.html").read_text()
