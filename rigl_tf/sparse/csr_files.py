"""Kernels of truly sparse layers as files that SciPy reads."""

import os

import numpy as np
from scipy import sparse

from rigl_tf import archives
from rigl_tf import files
from rigl_tf.sparse import layers


def save_csr(path: str | os.PathLike, layer: layers.SparseDense) -> None:
    """Write a kernel as a file for `scipy.sparse.load_npz`.

    Args:
        path: path of the `.npz` file.
        layer: built layer; its kernel [n_in, units] is written by rows (CSR),
            without the bias.

    Raises:
        OSError: if the file cannot be written.
    """
    archives.write(files.path(path), parts(layer.matrix()))


def parts(matrix: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Return the arrays of a file for `scipy.sparse.load_npz`.

    Args:
        matrix: the matrix, by rows.
    """
    return {
        "format": np.array(b"csr"),
        "shape": np.asarray(matrix.shape, np.int64),
        "data": matrix.data,
        "indices": matrix.indices.astype(np.int32),
        "indptr": matrix.indptr.astype(np.int64),
    }


def load_csr(path: str | os.PathLike, layer: layers.SparseDense) -> None:
    """Read a kernel into a layer of its shape and number of connections.

    Args:
        path: path of a file that `save_csr` wrote.
        layer: built layer; changed in place.

    Raises:
        files.DamagedFile: if the file is damaged, or holds another shape or
            number of connections. The layer is not changed.
        ValueError: if the connections of the layer are blocks.
        FileNotFoundError: if the file does not exist.
    """
    if layer.block > 1:
        raise ValueError(
            "`load_csr` reads kernels of single weights. Received: a "
            f"{type(layer).__name__}"
        )
    path, n = files.path(path), layer.n_active
    n_in, n_out = layer.kernel_shape
    with archives.reading(path) as archive:
        shape = archive.read("shape", (2,), np.int64)
        if tuple(shape) != (n_in, n_out):
            raise files.DamagedFile(
                path,
                f"must hold a matrix of {n_in} x {n_out}, has one of "
                f"{shape[0]} x {shape[1]}",
            )
        starts = archive.read("indptr", (n_in + 1,), np.int64)
        columns = archive.read("indices", (n,), np.int32)
        values = archive.read("data", (n,), np.float32)
    counts = np.diff(starts)
    if starts[0] != 0 or starts[-1] != n or (counts < 0).any():
        raise files.DamagedFile(path, "has row starts that do not ascend")
    rows = np.repeat(np.arange(n_in, dtype=np.int64), counts)
    if n and not (0 <= columns.min() and columns.max() < n_out):
        raise files.DamagedFile(path, "has columns outside of the matrix")
    try:
        layer.connect(rows * n_out + columns, values)
    except ValueError as error:
        raise files.DamagedFile(
            path, f"has rows out of order ({error})"
        ) from None
