"""Weights of a sparse model in a file that is as small as it should be.

A sparse array is stored as one bit per weight and the active weights; any other
as it is. The file is an `.npz` archive with the entries `bits:<path>` and
`values:<path>`, or `array:<path>`, for each variable.
"""

import numpy as np

from rigl_tf import structure

_BITS, _VALUES, _ARRAY = "bits:", "values:", "array:"


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
            entries[_VALUES + name] = values
        else:
            entries[_ARRAY + name] = array
    with open(path, "wb") as stream:
        np.savez(stream, **entries)


def load(path, model):
    """Read weights into a model of the same architecture.

    Args:
        path: file that `save` wrote.
        model: built Keras model.

    Raises:
        ValueError: the file holds other variables than the model has.
    """
    variables = structure.variables_by_path(model)
    with open(path, "rb") as stream, np.load(stream) as archive:
        entries = {name: archive[name] for name in archive.files}
    held = {name.partition(":")[2] for name in entries}
    for names, where in ((variables, "file"), (held, "model")):
        missing = set(names) - (held if where == "file" else set(variables))
        if missing:
            raise ValueError(
                f"The {where} has no variable {min(missing)!r}: the model must "
                "be built as the one that was saved. "
                f"Received: {str(path)!r}"
            )
    for name, variable in variables.items():
        variable.assign(_array(entries, name, variable))


def _array(entries, name, variable):
    """Unpack one array; check that it fits the variable."""
    shape, dtype = tuple(variable.shape), variable.numpy().dtype
    size = int(np.prod(shape))
    if _ARRAY + name in entries:
        array = entries[_ARRAY + name]
    else:
        bits, values = entries[_BITS + name], entries[_VALUES + name]
        active = np.unpackbits(bits)[:size].astype(bool)
        array = np.zeros(active.size, values.dtype)
        if active.sum() == values.size:
            array[active] = values
    numbers = _as_numbers(np.empty(0, dtype)).dtype
    if array.size != size or array.dtype != numbers:
        raise ValueError(
            f"{name!r} must have shape {shape} and type {dtype}. "
            f"Received: {array.size} weights of type {array.dtype}"
        )
    return array.view(dtype).reshape(shape)


def _as_numbers(array):
    """View types that archives do not know (bfloat16) as whole numbers."""
    known = array.dtype.kind in "biuf" and array.dtype.isbuiltin
    return array if known else array.view(f"uint{8 * array.dtype.itemsize}")
