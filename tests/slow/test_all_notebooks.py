import pytest
from test_notebooks import NAMES, NOTEBOOKS, run_with_small_parameters


@pytest.mark.notebooks
@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=NAMES[1:])
def test_notebook_runs_from_top_to_bottom_with_small_parameters(path, tmp_path):
    run_with_small_parameters(path, tmp_path)
