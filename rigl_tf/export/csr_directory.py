"""Write a directory with one sparse matrix per kernel, for SciPy."""

from collections.abc import Mapping
import pathlib

import keras
import numpy as np
from scipy import sparse

from rigl_tf import archives
from rigl_tf.export import compact
from rigl_tf.export import packed
from rigl_tf.sparse import csr_files

# The file of what is no kernel: biases and statistics.
_OTHERS = "other.npz"


def arrays(model: keras.Model) -> dict[str, Mapping[str, np.ndarray]]:
    """Return what the files of a directory contain.

    Kernels of convolutions [height, width, inputs, units] become matrices
    [height * width * inputs, units].

    Args:
        model: built model without masks.

    Returns:
        A dictionary from the name of a file to its arrays by name.
    """
    kernels, plain = compact.contents(model)
    found: dict[str, Mapping[str, np.ndarray]] = {
        _name(kernel.path): csr_files.parts(kernel.layer.matrix())
        for kernel in kernels
    }
    others = {}
    for path, variable in plain.items():
        array = np.asarray(variable.numpy())
        if array.ndim >= 2 and array.dtype in (np.float32, np.float64):
            rows = array.reshape(-1, array.shape[-1])
            found[_name(path)] = csr_files.parts(sparse.csr_matrix(rows))
        else:
            others[path] = packed.as_numbers(array)
    return {**found, _OTHERS: others}


def write(directory: pathlib.Path, model: keras.Model) -> None:
    """Write a directory, see `arrays`.

    Args:
        directory: path of the directory, which does not exist.
        model: built model without masks.
    """
    directory.mkdir()
    for name, entries in arrays(model).items():
        archives.write(directory / name, entries)


def read(directory: pathlib.Path) -> dict[str, Mapping[str, np.ndarray]]:
    """Read a directory that `write` wrote, as `arrays` returns it."""
    found: dict[str, Mapping[str, np.ndarray]] = {}
    for place in directory.iterdir():
        with np.load(place, allow_pickle=False) as archive:
            found[place.name] = {name: archive[name] for name in archive.files}
    return found


def _name(path: str) -> str:
    return path.replace("/", ".") + ".npz"
