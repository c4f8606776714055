"""What holds the package together: who imports whom."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import nst_tf

PACKAGE = Path(nst_tf.__file__).parent


def modules():
    """Return the path of every module by its name."""
    paths = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for name, path in paths.items()}


def imported(path, known):
    """Return which of the package's modules a file imports, in functions too, but for those that only types name."""
    found = set()
    waiting = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        waiting += ast.iter_child_nodes(node)
    return {name for name in found if name in known and name != "nst_tf"}


def test_no_file_imports_itself_through_others():
    known = modules()
    graph = {name: imported(path, known) for name, path in known.items() if name != "nst_tf"}
    assert len(graph) > 30
    assert graph["nst_tf.transfer"] >= {"nst_tf.engine.run", "nst_tf.objective"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
