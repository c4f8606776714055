import dataclasses
import json
import os
import zipfile

import numpy as np
import pytest
from conftest import small_network

from nst_tf.engine.checkpoints import Saver, read_checkpoint, write_checkpoint
from nst_tf.engine.precision import Device
from nst_tf.recipes import RECIPES
from nst_tf.transfer import stylize

LAYERS = ("block1_conv1", "block2_conv1", "block2_conv2")
SHALLOW = {"content_layers": {"block2_conv2": 1.0}, "style_layers": {"block1_conv1": 0.5, "block2_conv1": 0.5}}


@pytest.fixture(scope="module")
def network():
    return small_network(LAYERS)


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Write a checkpoint after every call, which takes more than its share of time."""
    monkeypatch.setattr(Saver, "due", lambda self: True)


def interrupted_after(steps):
    def callback(step):
        if step.step >= steps:
            raise KeyboardInterrupt

    return callback


@pytest.mark.parametrize(
    "options",
    [
        {"recipe": "studio"},
        {"recipe": "studio", "method": "lbfgs"},
        {"recipe": "tf_tutorial", "solver": "published"},
        {"recipe": "keras_200", "solver": "published", "style_size": "own"},
        {"recipe": "studio", "start": "noise", "seed": 5, "total_variation_weight": 1.0},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_a_resumed_run_comes_to_the_picture_of_an_uninterrupted_one_bit_for_bit(pair, network, tmp_path, options):
    options = {"features": network, "steps": 8, **SHALLOW, **options}
    whole = stylize(*pair, **options)
    path = tmp_path / "run.nst"
    first = stylize(*pair, checkpoint=path, callback=interrupted_after(4), **options)
    assert first.status == "interrupted"
    written_at = int(read_checkpoint(path).variables["step"])
    assert 0 < written_at < 8
    resumed = stylize(*pair, resume=path, **options)
    assert (resumed.status, resumed.steps) == ("done", 8)
    np.testing.assert_array_equal(resumed.image, whole.image)
    np.testing.assert_array_equal(resumed.history["total"], whole.history["total"])


def test_the_seconds_of_a_resumed_run_include_those_before_the_interrupt(pair, network, tmp_path):
    path = tmp_path / "run.nst"
    stylize(*pair, features=network, steps=3, checkpoint=path, callback=interrupted_after(2), **SHALLOW)
    earlier = read_checkpoint(path)
    write_checkpoint(path, dataclasses.replace(earlier, state={**earlier.state, "seconds": 1000.0}))
    resumed = stylize(*pair, features=network, steps=3, resume=path, **SHALLOW)
    assert 1000 < resumed.seconds < 2000


def test_a_cpu_goes_on_in_a_precision_of_its_own_after_a_gpus_float16(pair, network, tmp_path, monkeypatch):
    monkeypatch.setattr("nst_tf.engine.run.this_device", lambda: Device("CPU", "made up"))
    path = tmp_path / "run.nst"
    stylize(*pair, features=network, steps=3, checkpoint=path, callback=interrupted_after(2), **SHALLOW)
    earlier = read_checkpoint(path)
    write_checkpoint(path, dataclasses.replace(earlier, state={**earlier.state, "precision": "float16"}))
    with pytest.warns(UserWarning, match="float16 is for GPUs; on this CPU the run goes on in float32"):
        resumed = stylize(*pair, features=network, steps=3, resume=path, **SHALLOW)
    assert (resumed.status, resumed.precision) == ("done", "float32")


def test_a_checkpoint_copies_what_lbfgs_remembers_no_more_than_once(pair, network, tmp_path, monkeypatch):
    copied = []

    def write(path, checkpoint):
        # TensorFlow reads a copy; an array that owns its numbers would be a second.
        copied.append(checkpoint.variables["pair_0"].flags.owndata)

    monkeypatch.setattr("nst_tf.engine.checkpoints.write_checkpoint", write)
    stylize(*pair, checkpoint=tmp_path / "run.nst", features=network, steps=2, method="lbfgs", **SHALLOW)
    assert copied and not any(copied)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"steps": 2}, "number of steps"),
        ({"style_weight": 2.0}, "recipe"),
        ({"features": "other"}, "network"),
        ({"swapped": True}, "content image"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_what_differs(pair, network, tmp_path, change, named):
    path = tmp_path / "run.nst"
    options = {"features": network, "steps": 3, **SHALLOW}
    stylize(*pair, checkpoint=path, **options)
    pictures = pair[::-1] if change.pop("swapped", False) else pair
    if change.get("features"):
        change = {"features": small_network(LAYERS, pooling="average")}
        change["features"].model.layers[1].set_weights(
            [0.5 * w for w in change["features"].model.layers[1].get_weights()]
        )
    with pytest.raises(ValueError, match=f"another run.*{named}"):
        stylize(*pictures, resume=path, **{**options, **change})


def test_a_damaged_checkpoint_is_refused_and_code_in_it_is_not_run(pair, network, tmp_path):
    path = tmp_path / "run.nst"
    options = {"features": network, "steps": 2, **SHALLOW}
    stylize(*pair, checkpoint=path, **options)
    whole = path.read_bytes()
    ran = tmp_path / "ran"

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    poisoned = tmp_path / "poisoned.nst"
    with open(poisoned, "wb") as file:
        np.savez(file, facts=np.frombuffer(b"{}", np.uint8), history=np.array([Malicious()], object))
    (tmp_path / "half.nst").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nst").write_text("not a checkpoint")
    (tmp_path / "empty.nst").write_bytes(b"")
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 0xFF
    (tmp_path / "flipped.nst").write_bytes(flipped)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.nst")
    for name, facts in (("list", b"[]"), ("lacking", b'{"settings": {}, "state": {}}')):
        with open(tmp_path / f"{name}.nst", "wb") as file:
            np.savez(file, facts=np.frombuffer(facts, np.uint8), history=np.zeros((1, 4)))
    for name in ("half", "text", "empty", "flipped", "poisoned", "missing", "array", "list", "lacking"):
        with pytest.raises(ValueError, match=name):
            stylize(*pair, resume=tmp_path / f"{name}.nst", **options)
    assert not ran.exists()


def test_writing_checkpoints_takes_a_bounded_share_of_the_time(network, monkeypatch, tmp_path):
    monkeypatch.undo()
    clock, written, cost = [0.0], 0.0, 3.0

    def write(path, checkpoint):
        clock[0] += cost

    monkeypatch.setattr("nst_tf.engine.checkpoints.time.perf_counter", lambda: clock[0])
    monkeypatch.setattr("nst_tf.engine.checkpoints.write_checkpoint", write)
    saver = Saver(tmp_path / "run.nst", {}, network)
    while clock[0] < 3600:
        clock[0] += 0.25
        if saver.due():
            saver.save({}, np.zeros((0, 4)), {})
            written += cost
    assert 0 < written < 0.05 * clock[0]


def test_the_checkpoint_holds_its_settings_as_plain_text(pair, network, tmp_path):
    path = tmp_path / "run.nst"
    stylize(*pair, features=network, steps=2, checkpoint=path, **SHALLOW)
    with np.load(path, allow_pickle=False) as file:
        facts = json.loads(file["facts"].tobytes())
    assert RECIPES["studio"].name in facts["settings"]["recipe"]
    assert facts["settings"]["seed"] == "0"


def test_a_network_of_other_poolings_is_another_network(pair, network, tmp_path):
    path = tmp_path / "run.nst"
    stylize(*pair, features=network, steps=2, checkpoint=path, **SHALLOW)
    other = small_network(LAYERS, pooling="average", preprocessing="torch")
    with pytest.raises(ValueError, match="network"):
        stylize(*pair, features=other, steps=2, resume=path, **SHALLOW)


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(pair, network, tmp_path, monkeypatch):
    def full(path, checkpoint):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nst_tf.engine.checkpoints.write_checkpoint", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        result = stylize(*pair, features=network, steps=2, checkpoint=tmp_path / "run.nst", **SHALLOW)
    assert result.status == "done"


def test_an_interrupt_writes_where_it_was(pair, network, tmp_path, monkeypatch):
    monkeypatch.setattr(Saver, "due", lambda self: False)
    path = tmp_path / "run.nst"
    first = stylize(*pair, features=network, steps=8, checkpoint=path, callback=interrupted_after(4), **SHALLOW)
    assert int(read_checkpoint(path).variables["step"]) == first.steps


def test_resuming_a_finished_run_gives_its_picture(pair, network, tmp_path):
    path = tmp_path / "run.nst"
    for options in ({}, {"recipe": "gatys", "solver": "published", "style_size": "own"}):
        options = {"features": network, "steps": 3, **SHALLOW, **options}
        whole = stylize(*pair, checkpoint=path, **options)
        again = stylize(*pair, resume=path, **options)
        assert again.steps == 3
        np.testing.assert_array_equal(again.image, whole.image)


def test_a_run_from_small_to_large_takes_more_steps_at_its_last_size(pair, network, tmp_path):
    options = {"features": network, "coarsest": 32, **SHALLOW}
    first = stylize(*pair, steps=6, checkpoint=tmp_path / "run.nst", **options)
    more = stylize(*pair, steps=9, resume=tmp_path / "run.nst", **options)
    assert (more.status, more.steps, more.image.shape) == ("done", 9, first.image.shape)
    np.testing.assert_array_equal(more.history["total"][:6], first.history["total"][:6])


def npy_header(shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text + b"\n").to_bytes(2, "little") + text + b"\n"


@pytest.mark.parametrize(
    ("member", "data", "compression"),
    [
        ("variable/x.npy", npy_header("(1000000, 1000000, 1000)"), zipfile.ZIP_STORED),
        ("variable/x.npy", npy_header("(" * 3000), zipfile.ZIP_STORED),
        ("facts.npy", b"[" * 100_000, zipfile.ZIP_STORED),
        ("variable/x.npy", bytes(10_000_000), zipfile.ZIP_DEFLATED),
    ],
)
def test_a_checkpoint_made_to_do_harm_is_refused_in_one_line(tmp_path, member, data, compression):
    with zipfile.ZipFile(tmp_path / "x.nst", "w") as file:
        file.writestr(member, data, compression)
    with pytest.raises(ValueError, match="damaged or is no checkpoint"):
        read_checkpoint(tmp_path / "x.nst")


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": {"precision": "foo", "seconds": 1.0}},
        {"state": {"precision": "foo", "seconds": 1.0, "size": -1}},
        {"state": {"precision": "float32", "seconds": 1.0, "size": 0}},
        {"state": {"precision": "float32", "seconds": 1.0, "size": -9}},
        {"history": np.zeros((3, 9), np.float32)},
        {"variables": {"best_image": np.zeros((1, 8, 8, 3), np.float32)}},
    ],
)
def test_a_checkpoint_in_a_state_no_run_can_be_in_is_refused(pair, tmp_path, wrong):
    stylize(*pair, features="slim", steps=2, checkpoint=tmp_path / "run.nst", callback=interrupted_after(1))
    whole = read_checkpoint(tmp_path / "run.nst")
    write_checkpoint(tmp_path / "run.nst", dataclasses.replace(whole, **wrong))
    with pytest.raises(ValueError, match="damaged"):
        stylize(*pair, features="slim", steps=2, resume=tmp_path / "run.nst")


def test_a_finished_run_goes_on_with_more_steps(pair, network, tmp_path):
    options = {"features": network, **SHALLOW}
    first = stylize(*pair, steps=3, checkpoint=tmp_path / "run.nst", **options)
    more = stylize(*pair, steps=8, resume=tmp_path / "run.nst", **options)
    assert more.steps == 8
    np.testing.assert_array_equal(more.history["total"][:3], first.history["total"][:3])
    assert more.history["total"].min() < first.history["total"].min()
