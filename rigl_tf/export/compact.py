"""Compact weight files: where the weights are, and the active values alone.

A file is in the safetensors format (see `tensor_file`), optionally compressed
by zstd. Of a sparse kernel it holds, under the structural path of the kernel:

- `.shape` int64 [rank]
- `.compressed` [n]: the active values, in ascending positions
- `.bitmask` uint8 [..., ceil(columns / 8)]: one bit per position, packed along
  the last axis with the lowest bit first, and `.row_offsets` int64 [0]; or
- `.row_starts` int64 [rows + 1] and `.columns` uint16 or int32 [n], for truly
  sparse layers where these are smaller.

Other variables are stored under their path as they are. The layout with bit
masks is the sparse-bitmask format of the package `compressed-tensors`.
"""

from collections.abc import Mapping
import math
import os
import pathlib
from typing import Literal
from typing import TypeAlias
from typing import get_args

import keras
import numpy as np

from rigl_tf import checks
from rigl_tf import files
from rigl_tf.export import compact_reader
from rigl_tf.export import packed
from rigl_tf.export import tensor_file
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masking
from rigl_tf.layers import model_paths
from rigl_tf.layers import sparse_kernels

Values: TypeAlias = Literal["float32", "float16", "bfloat16"]

_FORMAT = {"format": "rigl_tf-sparse/1"}
_ZSTD = ".zst"
_ZSTD_LEVEL = 9


def save_compact(
    path: str | os.PathLike, model: keras.Model, values: Values = "float32"
) -> None:
    """Write the weights of a model; sparse kernels take what is active.

    All bits are kept, those of -0.0 and NaN too. With half-precision `values`,
    float32 kernels are rounded; biases and statistics are not.

    Args:
        path: path of the file, `*.safetensors`, or `*.safetensors.zst` to
            compress it with zstd.
        model: built Keras model: dense, masked, truly sparse, or stripped.
        values: "float32" for all bits, "float16" or "bfloat16" for half the
            size.

    Raises:
        ValueError: if a weight exceeds the range of float16, or the name ends
            otherwise.
        ImportError: if `zstandard` is missing for a compressed file.
        OSError: if the file cannot be written.
    """
    checks.one_of("values", values, get_args(Values))
    place = files.path(path)
    _require_suffix(place)
    data = tensor_file.encode(entries(model, values), _FORMAT)
    if place.name.endswith(_ZSTD):
        data = _zstandard().ZstdCompressor(level=_ZSTD_LEVEL).compress(data)
    files.write_bytes(place, data)


def load_compact(path: str | os.PathLike, model: keras.Model) -> None:
    """Read weights into a model of the same architecture.

    Args:
        path: path of a file that `save_compact` wrote, or of a `packed.npz`
            of earlier versions.
        model: built Keras model, dense or with truly sparse layers; changed in
            place.

    Raises:
        files.DamagedFile: if the file is damaged, or contains other variables
            than the model has. The model is not changed.
        ValueError: if the model has masks.
        FileNotFoundError: if the file does not exist.
    """
    place = files.path(path)
    if place.suffix == ".npz":
        packed.load(place, model)
        return
    if kernel_masks.masked_kernels(model, optional=True):
        raise ValueError(
            "Compact files are read into plain models: give "
            f"`rigl_tf.strip(model)`. Received: {model.name!r}, which has masks"
        )
    reader = compact_reader.Reader(place, read(place))
    kernels, plain = contents(model)
    wanted = {kernel.path for kernel in kernels} | plain.keys()
    reader.require_names(wanted)
    arrays = {name: reader.variable(name, v) for name, v in plain.items()}
    positions = [reader.connections(kernel) for kernel in kernels]
    for name, array in arrays.items():
        plain[name].assign(array)
    for kernel, (where, what) in zip(kernels, positions, strict=True):
        kernel.layer.connect(where, what)


def entries(
    model: keras.Model, values: Values = "float32"
) -> dict[str, np.ndarray]:
    """Return the tensors of a compact file, see the module.

    Args:
        model: built Keras model.
        values: type of the stored weights, see `save_compact`.
    """
    if kernel_masks.masked_kernels(model, optional=True):
        model = masking.strip(model, keep_sparse=True)
    kernels, plain = contents(model)
    found: dict[str, np.ndarray] = {}
    for path, variable in plain.items():
        array = np.asarray(variable.numpy())
        if array.ndim < 2:
            found[path] = array
            continue
        active = bits_of(array) != 0
        rounded = _rounded(path, array, values)
        saved = np.count_nonzero(~active) * array.dtype.itemsize
        if saved > _bytes_of_bits(array.shape) + 8 * array.ndim:
            found |= _with_bits(path, active, rounded[active])
        else:
            found[path] = rounded
    for kernel in kernels:
        found |= _of_sparse(kernel, values)
    return found


def bits_of(array: np.ndarray) -> np.ndarray:
    """View an array as unsigned integers: only +0.0 has no bit set."""
    return array.view(f"u{array.dtype.itemsize}")


def contents(
    model: keras.Model,
) -> tuple[list[sparse_kernels.SparseKernel], dict[str, keras.Variable]]:
    """Return the truly sparse kernels, and all other variables by path.

    Args:
        model: built model without masks.
    """
    kernels = sparse_kernels.sparse_kernels(model)
    inside = {
        id(variable)
        for kernel in kernels
        for variable in (
            kernel.layer.values,
            *kernel.layer.structure_variables,
        )
    }
    variables = model_paths.variables_by_path(model)
    return kernels, {p: v for p, v in variables.items() if id(v) not in inside}


def _of_sparse(kernel, values):
    """Return the entries of a truly sparse kernel."""
    matrix, path = kernel.layer.matrix(), kernel.path
    n_rows, n_columns = matrix.shape
    columns = matrix.indices.astype(
        np.uint16 if n_columns <= 2**16 else np.int32
    )
    starts = matrix.indptr.astype(np.int64)
    data = _rounded(path, matrix.data, values)
    if columns.nbytes + starts.nbytes < _bytes_of_bits(matrix.shape):
        return {
            path + compact_reader.SHAPE: np.asarray(matrix.shape, np.int64),
            path + compact_reader.STARTS: starts,
            path + compact_reader.COLUMNS: columns,
            path + compact_reader.ACTIVE: data,
        }
    active = np.zeros(matrix.shape, bool)
    rows = np.repeat(np.arange(n_rows), np.diff(starts))
    active[rows, matrix.indices] = True
    return _with_bits(path, active, data)


def _with_bits(path, active, values):
    return {
        path + compact_reader.SHAPE: np.asarray(active.shape, np.int64),
        path + compact_reader.BITS: np.packbits(
            active, axis=-1, bitorder="little"
        ),
        path + compact_reader.OFFSETS: np.empty(0, np.int64),
        path + compact_reader.ACTIVE: values,
    }


def _bytes_of_bits(shape):
    return math.prod(shape[:-1]) * -(-shape[-1] // 8)


def _rounded(path, array, values):
    """Return an array of weights in the type that is stored."""
    if values == "float32" or array.dtype != np.float32:
        return array
    with np.errstate(over="ignore"):
        rounded = array.astype(compact_reader.HALF[values])
    lost = np.isfinite(array) & ~np.isfinite(rounded.astype(np.float32))
    if lost.any():
        raise ValueError(
            f"The weights must lie in the range of {values}; take bfloat16 or "
            f"float32. Received: {array[lost][0]} in {path!r}"
        )
    return rounded


def _require_suffix(place: pathlib.Path) -> None:
    if not place.name.endswith((".safetensors", ".safetensors.zst")):
        raise ValueError(
            "A compact file must be named *.safetensors or *.safetensors.zst. "
            f"Received: {str(place)!r}"
        )


def _zstandard():
    try:
        import zstandard
    except ImportError as error:
        raise ImportError(
            "Compressed files need zstandard. Install it with: "
            "pip install rigl-tf[export]"
        ) from error
    return zstandard


def read(place: pathlib.Path) -> Mapping[str, np.ndarray]:
    """Return all tensors of a file, as `entries` names them.

    See `load_compact` for the errors.
    """
    data = files.read_bytes(place)
    if place.name.endswith(_ZSTD):
        zstandard = _zstandard()
        try:
            data = zstandard.ZstdDecompressor().decompress(data)
        except (zstandard.ZstdError, MemoryError) as error:
            raise files.DamagedFile(
                place, f"is damaged: zstd cannot read it ({error})"
            ) from None
    try:
        tensors, metadata = tensor_file.decode(data)
    except tensor_file.Damage as error:
        raise files.DamagedFile(place, str(error)) from None
    if metadata != _FORMAT:
        raise files.DamagedFile(
            place, f"must have the metadata {_FORMAT}, has {metadata}"
        )
    return tensors
