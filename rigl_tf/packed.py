"""Weights of a sparse model in a file that is as small as it should be.

A sparse array is stored as one bit per weight and the active weights; any other
as it is. The file is an `.npz` archive with the entries `bits:<path>`,
`shape:<path>` and `values:<path>`, or `array:<path>`, for each variable.
"""

import zipfile

import numpy as np

from rigl_tf import files
from rigl_tf import mask_files
from rigl_tf import structure

_BITS, _SHAPE, _VALUES, _ARRAY = "bits:", "shape:", "values:", "array:"


def save(path, model):
    """Write the weights of a model.

    Args:
        path: file to write, `.npz`.
        model: built Keras model, as `rigl_tf.strip` returns it.
    """
    entries = {}
    for name, variable in structure.variables_by_path(model).items():
        array = _as_numbers(variable.numpy())
        flat = array.ravel()
        values = flat[flat != 0]
        if values.nbytes + flat.size / 8 < flat.nbytes:
            entries[_BITS + name] = np.packbits(flat != 0)
            entries[_SHAPE + name] = np.asarray(array.shape, np.int64)
            entries[_VALUES + name] = values
        else:
            entries[_ARRAY + name] = array
    with (
        files.replacing(files.path(path)) as temporary,
        open(temporary, "wb") as stream,
    ):
        np.savez(stream, **entries)


def load(path, model):
    """Read weights into a model of the same architecture.

    Args:
        path: file that `save` wrote.
        model: built Keras model.

    Raises:
        ValueError: the file is damaged, or holds other variables than the model
            has. The model is left as it is.
    """
    variables = structure.variables_by_path(model)
    try:
        with (
            files.open_bytes(files.path(path)) as stream,
            np.load(stream) as archive,
        ):
            entries = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{str(path)!r} must be a file that `packed.save` wrote. "
            f"Received: a file that cannot be read ({error})"
        ) from error
    held = {name.partition(":")[2] for name in entries}
    for names, where in ((variables, "file"), (held, "model")):
        missing = set(names) - (held if where == "file" else set(variables))
        if missing:
            raise ValueError(
                f"The {where} has no variable {min(missing)!r}: the model must "
                "be built as the one that was saved. "
                f"Received: {str(path)!r}"
            )
    arrays = {
        name: _array(entries, name, variable)
        for name, variable in variables.items()
    }
    for name, array in arrays.items():
        variables[name].assign(array)


def _array(entries, name, variable):
    """Unpack one array; check that it fits the variable."""
    dtype = variable.numpy().dtype
    array = entries.get(_ARRAY + name)
    if array is None:
        parts = [entries.get(k + name) for k in (_BITS, _SHAPE, _VALUES)]
        array = None if any(p is None for p in parts) else _unpacked(*parts)
    numbers = _as_numbers(np.empty(0, dtype)).dtype
    found = None if array is None else (array.shape, array.dtype)
    if found != (tuple(variable.shape), numbers):
        raise ValueError(
            f"{name!r} must have shape {tuple(variable.shape)} and type "
            f"{dtype}. Received: {found}"
        )
    return array.view(dtype)


def _unpacked(bits, shape, values):
    """Return the array of a mask and its active weights, None if they clash."""
    active = mask_files.unpack(bits, shape)
    if active.sum() != values.size:
        return None
    array = np.zeros(active.shape, values.dtype)
    array[active] = values
    return array


def _as_numbers(array):
    """View types that archives do not know (bfloat16) as whole numbers."""
    known = array.dtype.kind in "biuf" and array.dtype.isbuiltin
    return array if known else array.view(f"uint{8 * array.dtype.itemsize}")
