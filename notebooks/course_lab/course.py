"""The course folder that nbgrader works in, and what is handed out to students: make lab-release."""

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import nbformat
from nbgrader.apps import NbGraderAPI
from submissions import ASSIGNMENT
from traitlets.config import Config

LAB = Path(__file__).resolve().parent
ROOT = LAB.parent.parent
SOURCE = LAB / "source" / ASSIGNMENT
RELEASE = ROOT / "notebooks" / "lab" / f"{ASSIGNMENT}.ipynb"  # apart from the solutions
SLIM = ROOT / "nst_tf" / "networks" / "slim.npz"
CONFIGURATION = """# Written by notebooks/course_lab/course.py.
c = get_config()
c.CourseDirectory.root = {root!r}
c.CourseDirectory.course_id = "style_transfer_lab"
"""


def make_course(course: Path) -> Path:
    """Make or renew a course folder of nbgrader's, and let nbgrader make the student version in it.

    Args:
        course: Where; marks that stand in its gradebook are kept.

    Returns:
        The student version in that folder.

    Raises:
        RuntimeError: If nbgrader refuses, as it does when points were changed after marking had begun.
    """
    course.mkdir(parents=True, exist_ok=True)
    (course / "nbgrader_config.py").write_text(CONFIGURATION.format(root=str(course)))
    shutil.rmtree(course / "source", ignore_errors=True)
    shutil.copytree(
        SOURCE, course / "source" / ASSIGNMENT, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "*.png")
    )
    # nbgrader calls the program alembic by its name, and so must find the one beside this Python.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    settings = Config()
    settings.CourseDirectory.root = str(course)
    made = NbGraderAPI(config=settings).generate_assignment(ASSIGNMENT)
    if not made["success"]:
        raise RuntimeError(
            f"nbgrader could not make the student version:\n{made.get('log') or made.get('error')}\n"
            f"If tasks or points were changed after marking had begun, start with a new folder: remove {course}."
        )
    return course / "release" / ASSIGNMENT / f"{ASSIGNMENT}.ipynb"


def student_version(made: Path) -> str:
    """Return nbgrader's student version as the text to commit: the same each time, byte by byte."""
    notebook = nbformat.read(made, as_version=4)
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def pack(archive: Path) -> None:
    """Write what a student without the repository needs into one zip: notebook, package, pictures."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(RELEASE, f"{ASSIGNMENT}/{RELEASE.name}")
        files = [ROOT / "requirements.txt", ROOT / "LICENSE", *sorted(ROOT.glob("nst_tf/**/*.py")), SLIM]
        for path in [*files, *sorted(ROOT.glob("images/*/*.jpg"))]:
            packed.write(path, f"{ASSIGNMENT}/{path.relative_to(ROOT)}")


def main(outputs: Path) -> None:
    """Make the student version, put it where it is committed, and pack it."""
    RELEASE.parent.mkdir(parents=True, exist_ok=True)
    RELEASE.write_text(student_version(make_course(outputs / "course")), encoding="utf-8")
    pack(outputs / f"{ASSIGNMENT}.zip")
    print(f"The student version is {RELEASE.relative_to(ROOT)};")
    print(f"{outputs.name}/{ASSIGNMENT}.zip holds it with all it needs, to hand out as a folder.")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
