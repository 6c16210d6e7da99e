"""Read variables from the tensors of a compact file, checking all of them."""

from collections.abc import Collection
from collections.abc import Mapping
import math
import pathlib

import keras
import ml_dtypes
import numpy as np

from rigl_tf import files
from rigl_tf.layers import sparse_kernels

# What follows the path of a sparse kernel in the names of its tensors.
SHAPE, ACTIVE = ".shape", ".compressed"
BITS, OFFSETS = ".bitmask", ".row_offsets"
STARTS, COLUMNS = ".row_starts", ".columns"
PARTS = (SHAPE, ACTIVE, BITS, OFFSETS, STARTS, COLUMNS)
# Types of half the size, in which weights can be stored.
HALF = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def require_same(
    place: pathlib.Path, held: Collection[str], wanted: Collection[str]
) -> None:
    """Require that a file contains exactly the variables of a model.

    Args:
        place: path of the file, for the error.
        held: paths of the variables in the file.
        wanted: paths of those of the model.
    """
    held, wanted = set(held), set(wanted)
    for missing, where in ((wanted - held, "file"), (held - wanted, "model")):
        if missing:
            raise files.DamagedFile(
                place,
                "must be of a model with the same architecture. Received: a "
                f"{where} without the variable {min(missing)!r}",
            )


class Reader:
    """Reads variables from the tensors of a file, checking all of them.

    Args:
        place: path of the file, for errors.
        tensors: what it holds.
    """

    def __init__(self, place: pathlib.Path, tensors: Mapping[str, np.ndarray]):
        self._place = place
        self._tensors = tensors

    def require_names(self, wanted: Collection[str]) -> None:
        """Require exactly the variables of a model.

        Args:
            wanted: their paths.
        """
        held: set[str] = set()
        for name in self._tensors:
            stem, dot, part = name.rpartition(".")
            held.add(stem if dot + part in PARTS else name)
        require_same(self._place, held, wanted)

    def variable(self, path: str, variable: keras.Variable) -> np.ndarray:
        """Return the dense value of a variable."""
        shape, dtype = tuple(variable.shape), variable.numpy().dtype
        if path in self._tensors:
            return self._typed(path, self._array(path, shape), dtype)
        rows, columns, values = self._active(path, shape)
        array = np.zeros(shape, dtype)
        flat = array.reshape(-1, shape[-1])
        flat[rows, columns] = self._typed(path + ACTIVE, values, dtype)
        return array

    def connections(
        self, kernel: sparse_kernels.SparseKernel
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return positions and values for a truly sparse kernel."""
        layer, block = kernel.layer, kernel.block
        rows, columns, values = self._active(kernel.path, kernel.shape)
        values = self._typed(kernel.path + ACTIVE, values, np.dtype("f4"))
        n_columns = layer.grid_shape[1]
        places = (rows // block) * n_columns + columns // block
        if block == 1:
            positions = places
        else:
            positions, places = np.unique(places, return_inverse=True)
            blocks = np.zeros((len(positions), block, block), np.float32)
            blocks[places, rows % block, columns % block] = values
            values = blocks
        if len(positions) != layer.n_active:
            raise files.DamagedFile(
                self._place,
                f"must hold {layer.n_active} connections of {kernel.path!r}, "
                f"has {len(positions)}",
            )
        return positions, values

    def _active(self, path, shape):
        """Return rows, columns and values of what is active in a kernel."""
        held = self._array(path + SHAPE, (len(shape),))
        if tuple(held.tolist()) != shape:
            raise self._refusal(path, f"shape {tuple(held)} instead of {shape}")
        n_rows, n_columns = math.prod(shape[:-1]), shape[-1]
        if path + BITS in self._tensors:
            packed_shape = (*shape[:-1], -(-n_columns // 8))
            bits = self._array(path + BITS, packed_shape)
            bits = np.unpackbits(
                bits, axis=-1, count=n_columns, bitorder="little"
            )
            rows, columns = np.nonzero(bits.reshape(n_rows, n_columns))
        else:
            starts = self._array(path + STARTS, (n_rows + 1,))
            columns = self._array(path + COLUMNS, (int(starts[-1]),))
            rows = np.repeat(np.arange(n_rows), np.diff(starts))
            columns = columns.astype(np.int64)
        return rows, columns, self._array(path + ACTIVE, (len(columns),))

    def _array(self, name, shape):
        """Return a tensor of the file, which must have a shape."""
        if name not in self._tensors:
            raise self._refusal(name, "no such tensor")
        array = self._tensors[name]
        if array.shape != shape:
            raise self._refusal(name, f"shape {array.shape}, not {shape}")
        return array

    def _typed(self, name, array, dtype):
        """Return weights in the type of a variable."""
        halved = dtype == np.float32 and array.dtype in HALF.values()
        if array.dtype != dtype and not halved:
            raise self._refusal(name, f"type {array.dtype}, not {dtype}")
        return array.astype(dtype)

    def _refusal(self, name, what):
        return files.DamagedFile(
            self._place,
            f"does not belong to this model: it has {what} for {name!r}",
        )
