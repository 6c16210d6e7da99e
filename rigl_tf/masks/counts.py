"""Count active weights exactly, and convert counts to sparsities."""

import math
from typing import Literal

from rigl_tf import checks


def n_ones(
    size: int, sparsity: float, rounding: Literal["floor", "ceil"] = "floor"
) -> int:
    """Count the active weights of a fresh mask.

    `size - floor(sparsity * size)`, computed in float64 as in the original
    code. In float32 the count is off by one for common values: 0.29 of 100
    gives 29 zeros, and `(1 - 0.8) * 235200` one connection too few.

    Args:
        size: number of weights of the kernel, at least 1.
        sparsity: fraction of zeros, in [0, 1).
        rounding: how the number of zeros is rounded: "floor" (default), or
            "ceil", as in the published model sizes.

    Returns:
        int, in [1, size] with "floor".
    """
    checks.fraction("sparsity", sparsity, include_one=False)
    checks.one_of("rounding", rounding, ("floor", "ceil"))
    round_zeros = math.floor if rounding == "floor" else math.ceil
    return size - round_zeros(float(sparsity) * size)


def sparsity_of(n_active: int, size: int) -> float:
    """Return a sparsity for which `n_ones` counts `n_active`.

    Args:
        n_active: number of active weights, in [1, size].
        size: number of weights.
    """
    sparsity = (size - n_active) / size
    # The quotient is rounded: its product with `size` may be too small.
    while n_ones(size, sparsity) > n_active:
        sparsity = math.nextafter(sparsity, 1.0)
    return sparsity
