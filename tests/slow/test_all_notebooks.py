import pytest
from test_notebooks import NAMES, NOTEBOOKS, run_with_small_parameters


@pytest.mark.notebooks
@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_runs_from_top_to_bottom_and_each_cell_survives_a_second_run(path, tmp_path):
    run_with_small_parameters(path, tmp_path, times=2)
