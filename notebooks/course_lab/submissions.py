"""Find the submissions in a folder, whichever way they were collected."""

import re
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

ASSIGNMENT = "style_transfer"
# What Moodle puts between a student and a file: Ada Example_12345_assignsubmission_file_
MOODLE = re.compile(r"(?P<student>.+_\d+)_assignsubmission_file(?:_.*)?")


@dataclass
class Submission:
    """One student's file, and what came of it."""

    student: str
    path: Path
    scores: dict[str, float | None] = field(default_factory=dict)
    status: str = "marked"
    remarks: list[str] = field(default_factory=list)


def find_submissions(folder: Path) -> list[Submission]:
    """Return the submissions of a folder.

    Args:
        folder: In nbgrader's layout (STUDENT/style_transfer/…), as Moodle downloads it, with a folder for each student
            or with all files in one, with plain files (STUDENT.ipynb), or a mixture.

    Raises:
        SystemExit: If there is none.
    """
    folder = folder.resolve()
    named = []
    for path in (path for path in folder.iterdir() if path.name[0] != "."):
        moodle = MOODLE.fullmatch(path.name)
        if path.is_dir():
            found = [*path.glob(f"{ASSIGNMENT}/*.ipynb"), *path.glob("*.ipynb")]
            if moodle and not found:  # style_transfer.ipynb.txt, or a PDF, which the student is to be told
                found = [each for each in path.rglob("*") if each.is_file()]
        else:
            found = [path] if path.suffix == ".ipynb" else []
        student = moodle["student"] if moodle else path.name if path.is_dir() else path.stem
        named += [(student, each) for each in found]
    # Of several files of one student the one of the right name is first; macOS adds others that begin with "._".
    named = sorted(
        (pair for pair in named if pair[1].name[0] != "."), key=lambda pair: (pair[1].stem != ASSIGNMENT, pair)
    )
    if not named:
        sys.exit(
            f"There is no notebook in {folder}: expected STUDENT/{ASSIGNMENT}/{ASSIGNMENT}.ipynb, STUDENT.ipynb, or "
            "what Moodle downloads (Ada Example_12345_assignsubmission_file_/…), unpacked."
        )
    submissions: dict[str, Submission] = {}
    for name, path in named:
        student = plain = student_name(name)
        count = 1
        while student in submissions:
            count += 1
            student = f"{plain}-{count}"
        submissions[student] = Submission(student, path)
        if student != plain:
            for each in (plain, student):
                submissions[each].remarks.append("there is more than one file of this student")
    return list(submissions.values())


def student_name(name: str) -> str:
    """Return a name that can be a folder's and nbgrader's: letters, digits, dots, hyphens and underscores."""
    plain = unicodedata.normalize("NFKC", name)
    return re.sub(r"[^\w.-]+", "_", plain).strip("._-")[:100] or "nameless"
