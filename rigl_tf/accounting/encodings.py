"""Bytes of sparse kernels in common encodings."""

from collections.abc import Sequence
import math


def bitmask_bytes(size: int, n_active: float, itemsize: int = 4) -> float:
    """Return the bytes of a kernel as bit mask and active weights.

    One bit per weight, and `itemsize` bytes per active weight; a kernel without
    zeros needs no mask. This is the rule of the published tables.

    Args:
        size: number of weights.
        n_active: number of active weights.
        itemsize: bytes of a weight.
    """
    mask = math.ceil(size / 8) if n_active < size else 0
    return mask + n_active * itemsize


def csr_bytes(
    shape: Sequence[int],
    n_active: float,
    itemsize: int = 4,
    index_bytes: int = 4,
) -> float:
    """Return the bytes of a kernel in compressed sparse rows.

    There is a row per output channel, the last dimension. Stored are the active
    weights, a column index for each, and the start of every row. A kernel
    without zeros is stored unchanged.

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
