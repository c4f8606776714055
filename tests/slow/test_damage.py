"""Whatever befalls a file, reading it ends in success or in one ValueError."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_faults import read_picture, read_whole_checkpoint, saved, whole_checkpoint

from nst_tf.pictures.settings import settings_of

READERS = {
    ".png": lambda path: read_picture(path.read_bytes()),
    ".jpg": lambda path: read_picture(path.read_bytes()),
    ".webp": lambda path: read_picture(path.read_bytes()),
    ".nst": read_whole_checkpoint,
    "settings.png": settings_of,
}
FLIPS = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=6)


@pytest.fixture(scope="module")
def whole():
    return {kind: whole_checkpoint() if kind == ".nst" else saved(f".{kind.split('.')[1]}") for kind in READERS}


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flips=FLIPS, kept=st.floats(0, 1))
def test_flipped_bits_and_lost_ends_are_seen_or_do_no_harm(whole, tmp_path, kind, flips, kept):
    data = np.frombuffer(whole[kind], np.uint8).copy()
    for place, mask in flips:
        data[int(place * len(data))] ^= mask
    path = tmp_path / f"x{kind}"
    path.write_bytes(data[: round(kept * len(data))].tobytes())
    try:
        READERS[kind](path)
    except ValueError as refusal:
        assert str(refusal)
