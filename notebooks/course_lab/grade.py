"""Mark a folder of submissions: make lab-grade SUBMISSIONS=folder.

Writes marks.csv and one HTML of feedback for each student.  Every submission is marked in a process of its own, with
limits of time and memory and without a network; whatever is wrong with one costs its author points and nobody else.
"""

import argparse
import contextlib
import csv
import hashlib
import html
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.process import BaseProcess
from pathlib import Path

import matplotlib
import nbformat
import psutil
from course import ROOT, SOURCE, make_course
from marking import scores_of, work
from mend import CannotOpenError, grade_id, mend, read_submission
from submissions import ASSIGNMENT, Submission, find_submissions

LAB = Path(__file__).resolve().parent
# Each process begins as a copy of one that has imported nbgrader, which takes seconds.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["matplotlib", "nbgrader.apps", "nbgrader.converters", "psutil"])


def main() -> None:
    """Mark all submissions, and write the table."""
    arguments = parse()
    submissions = find_submissions(arguments.submissions)
    course = arguments.outputs / "course"
    release = nbformat.read(make_course(course), as_version=4)
    points = {
        cell.metadata.nbgrader.grade_id: float(cell.metadata.nbgrader.points)
        for cell in release.cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    }
    print(f"{len(submissions)} submissions, {arguments.workers} at a time, {sum(points.values()):g} points", flush=True)
    began, walls = time.monotonic(), set()
    # In /tmp, as the path of a file socket may have 104 characters at most.
    arguments.work = Path(tempfile.mkdtemp(prefix="nst", dir="/tmp"))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ThreadPoolExecutor(arguments.workers) as pool:
        jobs = {pool.submit(mark, submission, course, release, arguments): submission for submission in submissions}
        try:
            for count, job in enumerate(as_completed(jobs), 1):
                walls.add(job.result())
                print(f"[{count}/{len(submissions)}] {first_line(jobs[job], points)}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            end(*psutil.Process().children(recursive=True))
            shutil.rmtree(arguments.work, ignore_errors=True)
            sys.exit("Interrupted. What was marked is kept; the same command goes on from there.")
    shutil.rmtree(arguments.work, ignore_errors=True)
    write_table(arguments.outputs / "marks.csv", submissions, points)
    collect_feedback(arguments.outputs / "feedback", submissions, course)
    print(f"{len(submissions)} submissions in {(time.monotonic() - began) / 60:.1f} minutes")
    print(f"{arguments.outputs / 'marks.csv'} and {arguments.outputs / 'feedback'}")
    if False in walls:
        print(
            "Note: this machine does not let a process have namespaces of its own, so a submission's network was cut "
            "in Python only, and files were not hidden. Mark submissions that you do not trust on Linux."
        )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "submissions", type=Path, help="a folder: Moodle's download, student/style_transfer/*.ipynb, or *.ipynb"
    )
    parser.add_argument("--outputs", type=Path, default=ROOT / "outputs" / "lab")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many at a time (all cores)")
    parser.add_argument("--cell-seconds", type=int, default=45, help="the longest that one cell may run")
    parser.add_argument("--seconds", type=int, default=400, help="the longest that one submission may take")
    parser.add_argument("--memory", type=float, default=4.0, help="GiB that one submission may take")
    parser.add_argument("--again", action="store_true", help="mark anew what has been marked and has not changed")
    arguments = parser.parse_args()
    arguments.outputs = arguments.outputs.resolve()
    if not arguments.submissions.is_dir():
        parser.error(f"{arguments.submissions} is not a folder of submissions.")
    if ROOT.is_relative_to(arguments.submissions.resolve()):
        parser.error(f"{arguments.submissions} holds this repository; put the submissions into a folder of their own.")
    return arguments


def mark(submission: Submission, course: Path, release: nbformat.NotebookNode, arguments: argparse.Namespace) -> bool:
    """Mark one submission, whatever it is; return whether it ran behind walls."""
    try:
        return _mark(submission, course, release, arguments)
    except CannotOpenError as error:
        submission.status = "cannot be opened"
        submission.remarks.append(str(error))
    except Exception as error:  # of one submission, which must not end the marking of the others
        submission.status = "not marked"
        submission.remarks.append(f"{type(error).__name__}: {error}"[:300])
    return True


def _mark(submission: Submission, course: Path, release: nbformat.NotebookNode, arguments: argparse.Namespace) -> bool:
    notebook, remarks = mend(read_submission(submission.path), release)
    submission.remarks += remarks
    folder = course / "submitted" / submission.student / ASSIGNMENT
    fingerprint = fingerprint_of(notebook)
    stamp = course / "marked" / f"{submission.student}.json"
    before = read_stamp(stamp)
    if before.get("fingerprint") == fingerprint and not arguments.again:
        submission.remarks, submission.scores = before["remarks"], scores_of(course, submission.student)
        if submission.scores != before["scores"]:  # a person has marked since
            run_marking(submission, course, release, arguments, only_feedback=True)
            write_stamp(stamp, {**before, "scores": submission.scores})
        return before["walls"]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{ASSIGNMENT}.ipynb")
    walls = run_marking(submission, course, release, arguments)
    if submission.status == "marked":
        kept = {"fingerprint": fingerprint, "remarks": submission.remarks, "scores": submission.scores, "walls": walls}
        write_stamp(stamp, kept)
    return walls


def read_stamp(path: Path) -> dict:
    """Return what is known of an earlier marking; nothing, if there is none or it is damaged."""
    with contextlib.suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    return {}


def write_stamp(path: Path, kept: dict) -> None:
    """Write what was found, whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(kept), encoding="utf-8")
    temporary.replace(path)


def fingerprint_of(notebook: nbformat.NotebookNode) -> str:
    """Return a hash of a submission and of what it is marked by."""
    source = (SOURCE / f"{ASSIGNMENT}.ipynb").read_bytes()
    return hashlib.sha256(json.dumps(notebook, sort_keys=True).encode() + source).hexdigest()


def pictures_of(release: nbformat.NotebookNode) -> list[str]:
    """Return the sources of the cells that only draw, all but those after the last check: a student's own transfer."""
    checks = [index for index, cell in enumerate(release.cells) if grade_id(cell).startswith("check_")]
    return [
        cell.source
        for cell in release.cells[: checks[-1]]
        if cell.cell_type == "code" and not grade_id(cell) and "tags" not in cell.metadata
    ]


def run_marking(
    submission: Submission,
    course: Path,
    release: nbformat.NotebookNode,
    arguments: argparse.Namespace,
    *,
    only_feedback: bool = False,
) -> bool:
    """Start a process that marks, and end it with all that it started when its time is over."""
    settings = {
        "course": str(course),
        "student": submission.student,
        "work": str(arguments.work),
        "only_feedback": only_feedback,
        "cell_seconds": arguments.cell_seconds,
        "memory_bytes": int(arguments.memory * 2**30),
        "hide": [str(folder) for folder in (arguments.outputs, arguments.submissions.resolve(), *NOT_FOR_STUDENTS)],
        "font_lists": matplotlib.get_cachedir(),
        "pictures": pictures_of(release),
    }
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=work, args=(settings, sender))
    process.start()
    sender.close()
    try:
        result = receiver.recv() if receiver.poll(arguments.seconds) else None
    except EOFError:
        submission.status = "not marked"
        submission.remarks.append(f"marking ended by itself, with exit status {process.exitcode}")
        return True
    if result is None:
        end(*psutil.Process(process.pid).children(recursive=True), process)
        submission.status = "stopped"
        submission.remarks.append(f"marking took more than {arguments.seconds} seconds")
        return True
    process.join()
    submission.scores = result["scores"]
    submission.remarks += result["remarks"]
    if result["error"]:
        submission.status = "marked" if result["scores"] else "not marked"
        submission.remarks.append(result["error"])
    return result["namespaces"]


NOT_FOR_STUDENTS = (LAB / "source", ROOT / "tests", ROOT / "outputs", ROOT / ".git")


def end(*processes: psutil.Process | BaseProcess) -> None:
    """Kill processes, some of which may have ended by themselves."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def first_line(submission: Submission, points: dict[str, float]) -> str:
    """Return one line about a submission."""
    missed = [name for name, most in points.items() if (submission.scores.get(name, 0) or 0) < most]
    missed = [name.removeprefix("check_") for name in missed if name.startswith("check_")]
    words = f"{submission.student}: {total_of(submission):g} points"
    if submission.status != "marked":
        return f"{words}, {submission.status}: {'; '.join(submission.remarks)}"
    return f"{words}{', not task ' + ', '.join(missed) if missed else ''}"


def total_of(submission: Submission) -> float:
    """Return the points so far."""
    return sum(score or 0 for score in submission.scores.values())


def write_table(path: Path, submissions: list[Submission], points: dict[str, float]) -> None:
    """Write marks.csv, a line for each student; what a person has yet to mark is left empty."""
    columns = {name: name.replace("check_", "task_") for name in points}
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        table = csv.writer(file)
        table.writerow(["student", *columns.values(), "total", "of", "status", "remarks", "file"])
        for submission in sorted(submissions, key=lambda each: each.student):
            cells = [submission.scores.get(name, 0) for name in columns]
            shown = ["" if score is None else f"{score:g}" for score in cells]
            words = [submission.status, "; ".join(submission.remarks), submission.path.name]
            total = [f"{total_of(submission):g}", f"{sum(points.values()):g}"]
            table.writerow([harmless(word) for word in (submission.student, *shown, *total, *words)])


def harmless(word: str) -> str:
    """Return a word that no spreadsheet takes for a formula."""
    return f"'{word}" if word.startswith(("=", "+", "-", "@", "\t")) else word


def collect_feedback(folder: Path, submissions: list[Submission], course: Path) -> None:
    """Put one HTML for each student into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for submission in submissions:
        made = course / "feedback" / submission.student / ASSIGNMENT / f"{ASSIGNMENT}.html"
        target = folder / f"{submission.student}.html"
        if submission.status == "marked" and made.exists():
            shutil.copy(made, target)
            continue
        reasons = "".join(f"<li>{html.escape(remark)}</li>" for remark in submission.remarks)
        target.write_text(
            f"<!DOCTYPE html><meta charset='utf-8'><title>{html.escape(submission.student)}</title>"
            f"<h1>{html.escape(submission.student)}: {submission.status}</h1><ul>{reasons}</ul>"
            "<p>Please hand the notebook in again: open it, run it from top to bottom, save it, and download it as "
            ".ipynb.</p>",
            encoding="utf-8",
        )


if __name__ == "__main__":
    main()
