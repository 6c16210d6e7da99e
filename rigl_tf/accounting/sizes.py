"""Bytes of sparse kernels in the encodings that are in use."""

import math

import numpy as np


def bitmask_bytes(size, n_active, itemsize=4):
    """Return the bytes of a kernel as bit mask and active weights.

    One bit per weight, and `itemsize` bytes per active weight; a kernel without
    zeros needs no mask. The rule of the published tables.

    Args:
        size: number of weights.
        n_active: number of active ones.
        itemsize: bytes of a weight.
    """
    mask = math.ceil(size / 8) if n_active < size else 0
    return mask + n_active * itemsize


def csr_bytes(shape, n_active, itemsize=4, index_bytes=4):
    """Return the bytes of a kernel in compressed sparse rows.

    A row per output channel, the last dimension: active weights, a column index
    for each, and the beginning of every row. A kernel without zeros is stored
    as it is.

    Args:
        shape: shape of the kernel.
        n_active: number of active weights.
        itemsize: bytes of a weight.
        index_bytes: bytes of an index.
    """
    if n_active == math.prod(shape):
        return n_active * itemsize
    n_rows = shape[-1]
    return n_active * (itemsize + index_bytes) + (n_rows + 1) * index_bytes


def remove_dead_units(matrices):
    """Remove the units of a multi-layer perceptron that compute nothing.

    First inputs without connections; then, layer by layer, hidden units that
    lack incoming or outgoing connections, until none is left. (A unit without
    incoming ones is a constant, which a bias further on can absorb.)

    Args:
        matrices: list of arrays [n_in, n_out], the masked weights (or masks) of
            consecutive dense layers.

    Returns:
        list of arrays without the rows and columns of dead units.
    """
    matrices = [np.asarray(matrix) for matrix in matrices]
    shapes = [matrix.shape for matrix in matrices]
    if {len(shape) for shape in shapes} != {2} or any(
        before[1] != after[0] for before, after in zip(shapes, shapes[1:])
    ):
        raise ValueError(
            "`matrices` must be those of consecutive dense layers. "
            f"Received: shapes {shapes}"
        )
    sizes = None
    while sizes != [matrix.shape for matrix in matrices]:
        sizes = [matrix.shape for matrix in matrices]
        matrices[0] = matrices[0][matrices[0].any(axis=1)]
        for index in range(len(matrices) - 1):
            before, after = matrices[index : index + 2]
            alive = before.any(axis=0) & after.any(axis=1)
            matrices[index] = before[:, alive]
            matrices[index + 1] = after[alive]
    return matrices
