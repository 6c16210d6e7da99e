"""Read `packed.npz`, the compact weight files that earlier versions wrote.

A sparse array is stored as one bit per weight and its active values, any other
array unchanged. The file is an archive with the entries `bits:<path>`,
`shape:<path>` and `values:<path>`, or `array:<path>`, for each variable.
"""

import os

import keras
import numpy as np

from rigl_tf import archives
from rigl_tf import files
from rigl_tf.export import compact_reader
from rigl_tf.layers import model_paths
from rigl_tf.masks import storage

_BITS, _SHAPE, _VALUES, _ARRAY = "bits:", "shape:", "values:", "array:"


def load(path: str | os.PathLike, model: keras.Model) -> None:
    """Read weights into a model of the same architecture.

    Args:
        path: path of the file.
        model: built Keras model; changed in place.

    Raises:
        files.DamagedFile: if the file is damaged, or contains other variables
            than the model has. The model is not changed.
        FileNotFoundError: if the file does not exist.
    """
    path = files.path(path)
    variables = model_paths.variables_by_path(model)
    with archives.reading(path) as archive:
        held = {name.partition(":")[2] for name in archive.names}
        compact_reader.require_same(path, held, variables.keys())
        arrays = {
            name: _read(path, archive, name, variable)
            for name, variable in variables.items()
        }
    for name, array in arrays.items():
        variables[name].assign(array)


def _read(path, archive, name, variable):
    """Read an array that fits a variable."""
    shape, dtype = tuple(variable.shape), variable.numpy().dtype
    numbers = as_numbers(np.empty(0, dtype)).dtype
    if _ARRAY + name in archive.names:
        return archive.read(_ARRAY + name, shape, numbers).view(dtype)
    active = storage.read_mask(path, archive, name)
    if active.shape != shape:
        raise files.DamagedFile(
            path,
            f"must hold {name!r} of shape {shape}, has shape {active.shape}",
        )
    array = np.zeros(shape, numbers)
    n_active = np.count_nonzero(active)
    array[active] = archive.read(_VALUES + name, (n_active,), numbers)
    return array.view(dtype)


def as_numbers(array: np.ndarray) -> np.ndarray:
    """View types that archives do not support (bfloat16) as integers."""
    known = array.dtype.kind in "biuf" and array.dtype.isbuiltin
    return array if known else array.view(f"uint{8 * array.dtype.itemsize}")
