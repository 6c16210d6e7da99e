"""Divide the active weights of a network among its kernels."""

import bisect
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Literal

from rigl_tf import checks
from rigl_tf.masks import counts
from rigl_tf.masks import name_patterns

# Names of kernels with their shapes.
Shapes = Mapping[str, Sequence[int]]
Rounding = Literal["floor", "ceil"]
# `(shapes, sparsity, **options) -> sparsities`, see `distributions`.
Distribution = Callable[..., dict[str, float]]


def split(
    shapes: Shapes,
    sparsity: float,
    custom: Mapping[str, float] | None,
    count_custom: bool,
    rounding: Rounding = "floor",
) -> tuple[dict[str, float], list[str], int]:
    """Check the arguments of a distribution and apply its `custom` sparsities.

    See `distributions.uniform` for the arguments.

    Returns:
        `(fixed, free, budget)`: sparsities of the kernels that `custom`
        matches, names of the other kernels, and the number of active weights
        that these share.
    """
    if not shapes:
        raise ValueError("`shapes` must name at least one kernel. Received: {}")
    checks.fraction("sparsity", sparsity, include_one=False)
    custom = dict(custom or {})
    for pattern, value in custom.items():
        checks.fraction(f"custom[{pattern!r}]", value, include_one=False)
    matches = name_patterns.assign(
        custom,
        lambda pattern: name_patterns.matcher(pattern, shapes, "custom"),
        list(shapes),
        "custom",
    )
    fixed = {name: custom[pattern] for name, pattern in matches.items()}
    free = [name for name in shapes if name not in fixed]
    counted = shapes if count_custom else free
    budget = sum(
        counts.n_ones(math.prod(shapes[name]), sparsity, rounding)
        for name in counted
    )
    if count_custom and fixed:
        budget = _spend(shapes, fixed, free, sparsity, budget)
    return fixed, free, budget


def _spend(shapes, fixed, free, sparsity, budget):
    """Subtract the active weights of the fixed kernels from the budget."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    spent = sum(counts.n_ones(sizes[name], s) for name, s in fixed.items())
    # Every free kernel keeps at least one connection, and at most all.
    least = spent + len(free)
    most = spent + sum(sizes[name] for name in free)
    if least <= budget <= most:
        return budget - spent

    def ones(millionths):
        share = millionths / 10**6
        return sum(counts.n_ones(size, share) for size in sizes.values())

    # The number of ones falls as sparsity rises: bisect over both bounds.
    grid = range(10**6)
    lowest = bisect.bisect_left(grid, True, key=lambda i: ones(i) <= most)
    beyond = bisect.bisect_left(grid, True, key=lambda i: ones(i) < least)
    raise ValueError(
        f"`sparsity` is infeasible: the kernels of `custom` keep {spent} of "
        f"{sum(sizes.values())} weights. The smallest feasible sparsity is "
        f"{lowest / 10**6:g}, the largest {(beyond - 1) / 10**6:g}. "
        f"Received: sparsity={sparsity}"
    )


def scaled(
    shapes: Shapes,
    sparsity: float,
    raw_density: Callable[[Sequence[int]], float],
    custom: Mapping[str, float] | None,
    count_custom: bool,
    rounding: Rounding,
) -> dict[str, float]:
    """Solve for eps in `density = eps * raw_density`.

    Kernels whose density would exceed 1 become dense, and eps is solved for the
    others, until no density exceeds 1.

    See `distributions.erdos_renyi` for the other arguments and the result.

    Args:
        shapes: dictionary from the name of each kernel to its shape.
        sparsity: overall fraction of zeros.
        raw_density: function from the shape of a kernel to its raw density.
        custom: optional fixed sparsities.
        count_custom: whether the kernels of `custom` count in the budget.
        rounding: how the number of zeros is rounded.
    """
    for name, shape in shapes.items():
        if len(shape) < 2:
            raise ValueError(
                "Erdos-Renyi distributions need kernels of rank 2 or more. "
                f"Received: shape {tuple(shape)} of {name!r}"
            )
    fixed, sparse, budget = split(
        shapes, sparsity, custom, count_custom, rounding
    )
    raw = {name: raw_density(shapes[name]) for name in sparse}
    dense: list[str] = []
    while sparse:
        left = budget - sum(math.prod(shapes[name]) for name in dense)
        scale = sum(raw[name] * math.prod(shapes[name]) for name in sparse)
        eps = left / scale
        largest = max(raw[name] for name in sparse)
        if largest * eps <= 1:
            break
        dense += [name for name in sparse if raw[name] == largest]
        sparse = [name for name in sparse if raw[name] != largest]
    free = {name: 0.0 for name in dense}
    free.update({name: 1 - eps * raw[name] for name in sparse})
    return in_order(shapes, fixed, free)


def in_order(shapes: Shapes, *parts: Mapping[str, float]) -> dict[str, float]:
    """Merge dictionaries by kernel name, in the order of `shapes`."""
    merged = {name: s for part in parts for name, s in part.items()}
    return {name: merged[name] for name in shapes}
