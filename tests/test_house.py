"""What holds the package together: who imports whom."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import nst_tf

PACKAGE = Path(nst_tf.__file__).parent
# From the ground up: a file imports from its own floor and from those below it.
FLOORS = (
    ("ground",),
    ("pictures",),
    ("images",),
    ("networks",),
    ("losses", "features"),
    ("published", "recipes"),
    ("controls",),
    ("objective",),
    ("engine",),
    ("transfer", "display"),
    ("tools",),
    ("cli",),
    ("__main__",),
)


def modules():
    """Return the path of every module by its name below the package, but for the package itself."""
    paths = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    paths.pop("__init__")
    return {name.removesuffix(".__init__"): path for name, path in paths.items()}


def imported(path, known):
    """Return which of the package's modules a file imports, in functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    names = {name.removeprefix("nst_tf.") for name in found if name.startswith("nst_tf.")}
    return names & set(known)


def test_no_file_imports_itself_through_others():
    known = modules()
    graph = {name: imported(path, known) for name, path in known.items()}
    assert len(graph) > 30
    assert graph["transfer"] >= {"engine.run", "controls.scene"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_imports_run_down_the_floors():
    known = modules()
    floors = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    assert {name.partition(".")[0] for name in known} == set(floors)
    upwards = [
        f"{name} imports {other}"
        for name, path in known.items()
        for other in imported(path, known)
        if floors[other.partition(".")[0]] > floors[name.partition(".")[0]]
    ]
    assert not upwards
