"""The catalogue of wrong answers to the course lab, and what the lab's checks say of each.

Prints a table: python tests/lab/catalogue.py (make test-lab).  The notebook's cells are run here in one process,
without Jupyter and without nbgrader, which takes a second an answer instead of half a minute.
"""

import contextlib
import dataclasses
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
LAB = ROOT / "notebooks" / "course_lab"
SOURCE = LAB / "source" / "style_transfer" / "style_transfer.ipynb"
TASKS = range(1, 11)
HIDDEN = re.compile(r"^[ ]*### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS\n", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class WrongAnswer:
    """One plausible mistake in one task; `hint` must be in the visible check's message, where it is not None."""

    task: int
    name: str
    code: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.task:02} {self.name}"


def wrong_answers() -> Iterator[WrongAnswer]:
    """Read the catalogue, one file per task."""
    for task in TASKS:
        entries = yaml.safe_load((Path(__file__).parent / "wrong_answers" / f"task_{task:02}.yaml").read_text())
        for entry in entries["answers"]:
            code = entries.get("common", "") + "\n\n" + entry["code"]
            yield WrongAnswer(task, entry["name"], code.strip(), entry.get("hint"))


class Lab:
    """The lab's cells, run in this process; the pictures are loaded and the network is made once."""

    def __init__(self) -> None:
        os.chdir(ROOT)  # where the setup cell looks for the package
        notebook = nbformat.read(SOURCE, as_version=4)
        self.cells = {
            cell.metadata["nbgrader"]["grade_id"]: cell.source for cell in notebook.cells if "nbgrader" in cell.metadata
        }
        parameters = next(cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
        self._inputs: dict = {"__name__": "lab"}
        for source in (self.cells["set_up"], parameters, self.cells["inputs"], self.cells["vgg_mean"]):
            exec(source, self._inputs)

    def said(self, task: int, answers: dict[int, str], *, hidden: bool) -> str | None:
        """Run a task's check on answers by task, and return its message, or None if the task passed."""
        names = dict(self._inputs)
        with contextlib.redirect_stdout(io.StringIO()):
            for code in (self.cells["check_tools"], *answers.values()):
                exec(code, names)
        check = self.cells[f"check_{task:02}"]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                if hidden:  # as in marking, which runs the tool again before each check
                    exec(self.cells["check_tools"], names)
                exec(check if hidden else HIDDEN.sub("", check), names)
        except AssertionError as hint:
            return str(hint)
        return None

    def solution(self, task: int) -> str:
        """Return the answer that the source notebook holds."""
        return self.cells[f"task_{task:02}"]

    def judge(self, wrong: WrongAnswer) -> tuple[str | None, str | None]:
        """Return what the visible check says of a wrong answer, and what the whole check says."""
        answers = {task: self.solution(task) for task in TASKS} | {wrong.task: wrong.code}
        return self.said(wrong.task, answers, hidden=False), self.said(wrong.task, answers, hidden=True)


def main() -> None:
    """Print the table; exit with 1 if an answer is not caught, or a hint does not name its mistake."""
    lab, rows = Lab(), []
    print(f"{'wrong answer':52}{'caught':>8}{'by':>9}{'hinted':>8}")
    for wrong in wrong_answers():
        visible, whole = lab.judge(wrong)
        hinted = wrong.hint is not None and visible is not None and wrong.hint in visible
        rows.append((whole is not None, hinted, wrong.hint is None or hinted))
        by = "check" if visible else "hidden" if whole else "-"
        print(f"{wrong!s:52}{'yes' if whole else 'NO':>8}{by:>9}{'yes' if hinted else '-':>8}", flush=True)
        if not rows[-1][2]:
            print(f"    expected {wrong.hint!r} in {visible!r}")
    caught, hinted, kept = (sum(column) for column in zip(*rows, strict=True))
    print(f"{len(rows)} wrong answers, {caught} caught, {hinted} with a hint that names the mistake")
    sys.exit(0 if caught == kept == len(rows) else 1)


if __name__ == "__main__":
    main()
