"""Mark one submission with nbgrader; `grade.py` starts a process for each."""

import copy
import os
import re
import shutil
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from mend import grade_id
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute
from sandbox import has_namespaces, prefix
from submissions import ASSIGNMENT
from traitlets import default
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent.parent
MOST_RESTARTS = 4
# Students may have chosen pictures of their own, which are not here.
SMALL = {"SIZE": "96", "LARGE": "96", "STEPS": "30", "CONTENT": '"chelsea"', "STYLE": '"starry_night"'}
SETTINGS: dict = {}


class SandboxedKernelManager(AsyncKernelManager):
    """Starts the kernel behind `sandbox.py`, and talks to it by files, as it has no network."""

    transport = "ipc"

    @default("ip")
    def _ip_default(self) -> str:
        """Return what the names of the file sockets begin with."""
        return os.path.join(os.environ["NST_LAB_OWN"], "r", "s")

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Put the sandbox in front of the kernel's command."""
        own = Path(os.environ["NST_LAB_OWN"])
        hide = [Path(folder) for folder in SETTINGS["hide"]]
        work = Path(SETTINGS["work"])
        front = prefix(own=own, work=work, hide=hide, memory_bytes=SETTINGS["memory_bytes"])
        return [*front, *super().format_kernel_cmd(extra_arguments)]


class SandboxedExecute(Execute):
    """Runs a notebook to its end, even if a cell never ends or takes the kernel with it.

    The answer of such a cell's task is then put out of action, and the notebook is run again, so that the other tasks
    keep their points.  The checks' tool is run again before each check, so that an answer cannot replace it.
    """

    def __init__(self, *args, **kwargs) -> None:
        kwargs["kernel_manager_class"] = SandboxedKernelManager
        super().__init__(*args, **kwargs)
        self.timeout = SETTINGS["cell_seconds"]
        self.iopub_timeout = SETTINGS["cell_seconds"]
        self.interrupt_on_timeout = False
        self.shutdown_kernel = "immediate"
        self.running = 0

    def preprocess(self, nb, resources, km=None):
        """Run the notebook in a folder of its own."""
        lost: dict[int, str] = {}
        tool = next((cell.source for cell in nb.cells if grade_id(cell) == "check_tools"), "")
        quick = [quickened(cell, SETTINGS["pictures"], tool) for cell in nb.cells]
        last = max((index for index, cell in enumerate(nb.cells) if grade_id(cell).startswith("check_")), default=0)
        while True:
            with tempfile.TemporaryDirectory(prefix="lab", dir=os.environ["NST_LAB_WORK"]) as folder:
                furnish(Path(folder))
                resources["metadata"]["path"] = folder
                attempt = copy.deepcopy(nb)
                for cell, source in zip(attempt.cells, quick, strict=True):
                    cell.source = source
                for index, reason in lost.items():
                    attempt.cells[index].source = f"raise RuntimeError({reason!r})"
                try:
                    attempt, resources = super().preprocess(attempt, resources, km)
                    break
                except (DeadKernelError, CellTimeoutError) as error:
                    if self.running > last:
                        break  # what stands after the last check carries no points, and is not waited for
                    reason = REASONS[isinstance(error, DeadKernelError)].format(**SETTINGS)
                    culprit = self.culprit(nb, set(lost))
                    lost[culprit] = f"{reason} Its answer was taken out, and the rest was marked without it."
                    if len(lost) > MOST_RESTARTS:
                        raise
        for cell, run in zip(nb.cells, attempt.cells, strict=True):
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = run.outputs, run.execution_count
        SETTINGS["remarks"] += [
            f"{grade_id(nb.cells[index]) or 'a cell without points'}: {reason}" for index, reason in lost.items()
        ]
        return nb, resources

    def preprocess_cell(self, cell, resources, index):
        """Run a cell, and remember which."""
        self.running = index
        return super().preprocess_cell(cell, resources, index)

    def culprit(self, nb, lost: set[int]) -> int:
        """Return which cell to take out: for a check, the answer that it looked at."""
        answer = grade_id(nb.cells[self.running]).replace("check_", "task_")
        for index, cell in enumerate(nb.cells):
            if grade_id(cell) == answer and answer.startswith("task_") and index not in lost:
                return index
        return self.running


REASONS = {
    False: "This ran for more than {cell_seconds} seconds.",
    True: "This ended Python, by a crash or by more memory than the {memory_gib:g} GiB allowed.",
}


def quickened(cell, pictures: list[str], tool: str) -> str:
    """Return the source of a cell as it is run to mark it: no check depends on what is left out or made small.

    Args:
        cell: Of the submission.
        pictures: Sources of the cells that draw what a check has looked at; they are left out if nobody changed them.
        tool: Source of the checks' tool.
    """
    if cell.cell_type != "code":
        return cell.source
    if cell.source in pictures:
        return "# Left out while marking."
    source = cell.source
    for name, value in SMALL.items():
        source = re.sub(rf"^{name} = (\d+|\".*?\"|'.*?')", f"{name} = {value}", source, flags=re.MULTILINE)
    if grade_id(cell).startswith("check_") and grade_id(cell) != "check_tools":
        return f"{tool}\n{source}"
    return source


def furnish(folder: Path) -> None:
    """Make the folder that a submission runs in: the package and its pictures, and homes for what programs write."""
    for name in ("nst_tf", "images"):
        (folder / name).symlink_to(ROOT / name)
    for variable, name in (("HOME", "home"), ("TMPDIR", "tmp"), ("JUPYTER_RUNTIME_DIR", "r"), ("MPLCONFIGDIR", "mpl")):
        (folder / name).mkdir()
        os.environ[variable] = str(folder / name)
    for font_list in Path(SETTINGS["font_lists"]).glob("fontlist*.json"):
        shutil.copy(font_list, folder / "mpl")
    os.environ["NST_LAB_OWN"] = str(folder)
    tempfile.tempdir = None  # else it remembers the folder of a run before


def mark(course: Path, student: str) -> dict:
    """Let nbgrader mark a submission and write its feedback.

    Returns:
        `scores` by cell (None: to be marked by a person), `remarks`, and `error`, nbgrader's last words if it failed.
    """
    settings = Config()
    settings.CourseDirectory.root = str(course)
    settings.CourseDirectory.db_url = database(course)
    swapped = [SandboxedExecute if each is Execute else each for each in Autograde.autograde_preprocessors.default()]
    settings.Autograde.autograde_preprocessors = swapped
    api = NbGraderAPI(config=settings)
    if not SETTINGS["only_feedback"]:
        marked = api.autograde(ASSIGNMENT, student)
        print(marked.get("log") or "", flush=True)
        if not marked["success"]:
            return {"scores": {}, "error": last_words(marked), "remarks": SETTINGS["remarks"]}
    told = api.generate_feedback(ASSIGNMENT, student)
    error = None if told["success"] else f"no feedback: {last_words(told)}"
    return {"scores": scores_of(course, student), "error": error, "remarks": SETTINGS["remarks"]}


def database(course: Path) -> str:
    """Return the address of a course's gradebook, which waits while another process writes."""
    return f"sqlite:///{course / 'gradebook.db'}?timeout=60"


def scores_of(course: Path, student: str) -> dict[str, float | None]:
    """Return the points by cell that stand in the gradebook; None where a person has yet to mark."""
    with Gradebook(database(course)) as gradebook:
        notebook = gradebook.find_submission_notebook(ASSIGNMENT, ASSIGNMENT, student)
        return {grade.name: None if grade.needs_manual_grade else float(grade.score) for grade in notebook.grades}


def last_words(result: dict) -> str:
    """Return the last error in nbgrader's log; all of it stands in the course folder's logs."""
    lines = (result.get("log") or result.get("error") or "nbgrader failed without a word").strip().splitlines()
    errors = [line.strip() for line in lines if "Error" in line or "Exception" in line]
    return (errors or lines)[0 if errors else -1][:300]


def work(settings: dict, answer: Connection) -> None:
    """Mark the submission that the settings name, and send what `mark` returns through a pipe."""
    SETTINGS.update(settings, remarks=[], memory_gib=settings["memory_bytes"] / 2**30)
    logs = Path(settings["course"]) / "logs"
    logs.mkdir(exist_ok=True)
    log = os.open(logs / f"{settings['student']}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(NST_LAB_WORK=settings["work"], PYTHONPATH=str(ROOT), JUPYTER_PLATFORM_DIRS="1")
    # One thread each: as many submissions as there are cores are marked at a time.
    os.environ.update(OMP_NUM_THREADS="1", TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")
    result = mark(Path(settings["course"]), settings["student"])
    answer.send({**result, "namespaces": has_namespaces()})
