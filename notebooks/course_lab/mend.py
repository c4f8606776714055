"""Make a submission into a notebook that nbgrader can mark, whatever happened to it on its way."""

import copy
import json
import re
from pathlib import Path

import nbformat
from nbformat.notebooknode import NotebookNode
from nbformat.reader import NotJSONError

LARGEST_BYTES = 50 * 2**20
# A line that switches TensorFlow's eager execution off, without which no check can run.
GRAPH_MODE = re.compile(r"^([ \t]*)((?:[\w.]+\.)?disable_(?:eager_execution|v2_behavior)\([ \t]*\).*)$", re.MULTILINE)


class CannotOpenError(ValueError):
    """A submission that is not a notebook."""


def read_submission(path: Path) -> NotebookNode:
    """Read a submitted notebook.

    Raises:
        CannotOpenError: If it is not a notebook; the message says what it is.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise CannotOpenError(
            f"the file has {path.stat().st_size / 2**20:.0f} MiB; {LARGEST_BYTES // 2**20} are allowed"
        )
    data = path.read_bytes()
    if not data.strip():
        raise CannotOpenError("the file is empty")
    try:
        notebook = nbformat.reads(data.decode("utf-8-sig"), as_version=4)
        for cell in notebook.cells:  # what nbformat lets pass, and nbgrader stumbles over
            if cell.get("cell_type") not in ("code", "markdown", "raw") or not isinstance(cell.get("source"), str):
                raise ValueError("a cell has no kind or no text")
            cell.source = cell.source.encode("utf-8", "replace").decode("utf-8")
    except (UnicodeDecodeError, json.JSONDecodeError, NotJSONError):
        raise CannotOpenError("the file is not a notebook (.ipynb), which is JSON in UTF-8") from None
    except Exception as error:  # nbformat raises many kinds, for many kinds of damage
        raise CannotOpenError(f"the notebook is damaged: {str(error).splitlines()[0][:200]}") from None
    return notebook


def mend(submitted: NotebookNode, release: NotebookNode) -> tuple[NotebookNode, list[str]]:
    """Give a submission's cells back the names that nbgrader knows them by, and put missing cells back.

    A cell is known by its nbgrader metadata; failing that, by its id or by the function that it defines or the title
    of its check, as some tools drop all metadata.  Of two cells with one name the last counts.  Cells that the student
    added stay where they are.  Lines that switch eager execution off are taken out.

    Args:
        submitted: The student's notebook.
        release: The notebook that students were given.

    Returns:
        The mended notebook, and what was mended, in words.
    """
    known = {cell.metadata.nbgrader.grade_id: cell for cell in release.cells if "nbgrader" in cell.metadata}
    in_metadata = {_named_in_metadata(cell, known) for cell in submitted.cells}
    guessable = {name: cell for name, cell in known.items() if name not in in_metadata}
    cells, remarks, places, nameless = [], [], {}, 0
    for cell in submitted.cells:
        cell = copy.deepcopy(cell)
        if cell.cell_type == "raw":
            cell = nbformat.v4.new_markdown_cell(cell.source)
        if cell.cell_type == "code":
            lines = [found[2] for found in GRAPH_MODE.finditer(cell.source)]
            remarks += [f"left out while marking, as it switches eager execution off: {line}" for line in lines]
            cell.source = GRAPH_MODE.sub(r"\1pass  # Left out while marking: \2", cell.source)
        named = _named_in_metadata(cell, known)
        name = named or _recognized(cell, guessable)
        cell.metadata = NotebookNode()
        if name:
            cell.metadata["nbgrader"] = copy.deepcopy(known[name].metadata.nbgrader)
            if name in places:
                remarks.append(f"{name} stood there more than once, and the last counts")
                cells[places[name]].metadata = NotebookNode()
            nameless += not named
            places[name] = len(cells)
        cells.append(cell)
    if nameless:
        remarks.append(f"{nameless} cells had lost their names")
    remarks += _find_written_answer(cells, known)
    mended = copy.deepcopy(release)
    mended.cells = cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    present = {grade_id(cell) for cell in cells}
    missing = [name for name in known if name not in present]
    for name in missing:
        mark = _mark(known[name].source) if name.startswith("task_") else None
        if not (mark and mark in code):  # else two answers stand in one cell, and a stub would undo one
            _put_back(mended.cells, known, name)
    if missing:
        remarks.append(f"put back: {', '.join(missing)}")
    for index, cell in enumerate(mended.cells):
        cell.id = f"cell-{index}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return nbformat.from_dict(mended), remarks


def grade_id(cell: NotebookNode) -> str:
    """Return the name that nbgrader knows a cell by, "" if it has none."""
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _find_written_answer(cells: list[NotebookNode], known: dict[str, NotebookNode]) -> list[str]:
    """Take what a student wrote beside the cell for the written answer as the answer."""
    written = next((name for name, cell in known.items() if cell.cell_type == "markdown"), None)
    headings = [index for index, cell in enumerate(cells) if cell.source.startswith("## Task 11")]
    if written is None or not headings:
        return []
    own = next((cell for cell in cells if grade_id(cell) == written), None)
    if own is not None and own.source.strip() not in ("", known[written].source.strip()):
        return []
    beside = []
    for cell in cells[headings[-1] + 1 :]:
        if cell.source.startswith("## "):
            break
        if cell.cell_type == "markdown" and cell is not own and cell.source.strip() != known[written].source.strip():
            beside.append(cell)
    if not beside:
        return []
    if own is None:
        own = beside[0]
        own.metadata["nbgrader"] = copy.deepcopy(known[written].metadata.nbgrader)
    own.source = "\n\n".join(cell.source for cell in beside)
    return [f"{written} was found beside its cell"]


def _named_in_metadata(cell: NotebookNode, known: dict[str, NotebookNode]) -> str | None:
    metadata = cell.get("metadata", {}).get("nbgrader", {})
    name = metadata.get("grade_id") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) and name in known and known[name].cell_type == cell.cell_type else None


def _recognized(cell: NotebookNode, known: dict[str, NotebookNode]) -> str | None:
    for name, original in known.items():
        if original.cell_type != cell.cell_type:
            continue
        if original.source.strip() == cell.source.strip():
            return name
        if original.cell_type == "markdown":
            if cell.get("id") == original.get("id"):
                return name
            continue
        mark = _mark(original.source)
        if mark and mark in cell.source and (mark == _mark(cell.source) or mark.startswith("def ")):
            return name
    return None


def _mark(source: str) -> str | None:
    """Return what a cell can be known by: the title of a check, or its first function."""
    title = re.match(r"# @title .*", source)
    function = re.search(r"^def \w+\(", source, re.MULTILINE)
    return title[0] if title else function[0] if function else None


def _put_back(cells: list[NotebookNode], known: dict[str, NotebookNode], missing: str) -> None:
    """Insert a cell of the release before the next cell after it that is there."""
    names = list(known)
    places = {grade_id(cell): index for index, cell in enumerate(cells)}
    after = [name for name in names[names.index(missing) + 1 :] if name in places]
    cells.insert(places[after[0]] if after else len(cells), copy.deepcopy(known[missing]))
