"""Exact numbers of active weights, and the sparsities that they stand for."""

import math

from rigl_tf import checks


def n_ones(size, sparsity, rounding="floor"):
    """Count the active weights of a fresh mask.

    `size - floor(sparsity * size)`, evaluated in float64 as the original code
    does. Float32 is off by one for common pairs: it finds 29 zeros for 0.29 of
    100, and `(1 - 0.8) * 235200` one connection too few.

    Args:
        size: number of weights of the kernel, at least 1.
        sparsity: fraction of zeros, in [0, 1).
        rounding: "floor" for the number of zeros (default) or "ceil", the rule
            with which the published model sizes were made.

    Returns:
        int, in [1, size] under "floor".
    """
    checks.fraction("sparsity", sparsity, include_one=False)
    checks.one_of("rounding", rounding, ("floor", "ceil"))
    round_zeros = math.floor if rounding == "floor" else math.ceil
    return size - round_zeros(float(sparsity) * size)


def sparsity_of(n_active, size):
    """Return a sparsity for which `n_ones` counts `n_active`.

    Args:
        n_active: in [1, size].
        size: number of weights.
    """
    sparsity = (size - n_active) / size
    # The product of size and a rounded quotient may lie below an integer.
    while n_ones(size, sparsity) > n_active:
        sparsity = math.nextafter(sparsity, 1.0)
    return sparsity
