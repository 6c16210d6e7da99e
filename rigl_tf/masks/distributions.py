"""Sparsity distributions: how the overall sparsity is shared among kernels.

A distribution is a function `(shapes, sparsity, **options) -> sparsities`:
`shapes` maps the name of each kernel to its shape, `sparsity` is the overall
fraction of zeros S in [0, 1), and the result maps the name of each kernel to
its sparsity s^l. See the RigL paper, section 3, (1).
"""

from collections.abc import Mapping
import math
import pathlib

from rigl_tf import checks
from rigl_tf.masks import budgets
from rigl_tf.masks import distribution_tables

Distribution = budgets.Distribution


def uniform(
    shapes: budgets.Shapes,
    sparsity: float,
    *,
    custom: Mapping[str, float] | None = None,
    count_custom: bool = False,
) -> dict[str, float]:
    """Give every kernel the same sparsity, `s^l = S`.

    Args:
        shapes: dictionary from the name of each kernel to its shape.
        sparsity: overall fraction of zeros S, in [0, 1).
        custom: optional dictionary from a name, or a regular expression that
            matches whole names, to a fixed sparsity in [0, 1). The first
            matching key applies. A key that matches nothing is an error.
        count_custom: whether the kernels of `custom` count in the budget. If
            so, the others are made sparser or denser so that S holds over all
            kernels; if not (default, the original code), S holds over the
            others only.

    Returns:
        A dictionary from name to sparsity, in the order of `shapes`.

    Raises:
        ValueError: if a sparsity lies outside of [0, 1), a key of `custom`
            matches no kernel, or S is infeasible with the fixed sparsities.
    """
    fixed, free, budget = budgets.split(shapes, sparsity, custom, count_custom)
    size = sum(math.prod(shapes[name]) for name in free)
    # Without a shared budget, use S itself: a quotient would be rounded.
    share = 1 - budget / size if fixed and free and count_custom else sparsity
    return budgets.in_order(shapes, fixed, {name: share for name in free})


def erdos_renyi(
    shapes: budgets.Shapes,
    sparsity: float,
    *,
    custom: Mapping[str, float] | None = None,
    count_custom: bool = False,
    rounding: budgets.Rounding = "floor",
) -> dict[str, float]:
    """Scale density with fan-in plus fan-out (ER; Mocanu et al. 2018).

    `1 - s^l = eps * (n_in + n_out) / (n_in * n_out)`, with n the last two
    dimensions of a kernel. `eps` is chosen so that the number of zeros meets
    S; a kernel whose density would exceed 1 stays dense.

    See `uniform` for the other arguments, the result and the errors.

    Args:
        shapes: dictionary from the name of each kernel, of rank 2 or more, to
            its shape.
        sparsity: overall fraction of zeros S.
        custom: optional fixed sparsities.
        count_custom: whether the kernels of `custom` count in the budget.
        rounding: how the number of zeros of a kernel is rounded: "floor", or
            "ceil", as in the published model sizes.
    """

    def raw_density(shape):
        return sum(shape[-2:]) / math.prod(shape[-2:])

    return budgets.scaled(
        shapes, sparsity, raw_density, custom, count_custom, rounding
    )


def erdos_renyi_kernel(
    shapes: budgets.Shapes,
    sparsity: float,
    *,
    power_scale: float = 1.0,
    custom: Mapping[str, float] | None = None,
    count_custom: bool = False,
    rounding: budgets.Rounding = "floor",
) -> dict[str, float]:
    """Scale density with the kernel's dimensions (ERK; RigL paper, section 3).

    `1 - s^l = eps * ((n_in + n_out + w + h) / (n_in * n_out * w * h))^p`: like
    `erdos_renyi`, but with all dimensions of the kernel.

    See `erdos_renyi` for the other arguments, the result and the errors.

    Args:
        shapes: dictionary from the name of each kernel to its shape.
        sparsity: overall fraction of zeros S.
        power_scale: the exponent p, at least 0: 1 is ERK, 0 is uniform.
        custom: optional fixed sparsities.
        count_custom: whether the kernels of `custom` count in the budget.
        rounding: how the number of zeros of a kernel is rounded.
    """
    checks.at_least("power_scale", power_scale, 0)

    def raw_density(shape):
        return (sum(shape) / math.prod(shape)) ** power_scale

    return budgets.scaled(
        shapes, sparsity, raw_density, custom, count_custom, rounding
    )


def _shipped(name):
    """Return a distribution that reads its table on first use."""

    def distribution(shapes, sparsity, **options):
        path = pathlib.Path(__file__).parent / "data" / f"{name}.csv"
        return distribution_tables.from_table(path)(shapes, sparsity, **options)

    distribution.__name__ = name
    return distribution


BY_NAME: dict[str, Distribution] = {
    "uniform": uniform,
    "erdos_renyi": erdos_renyi,
    "erdos_renyi_kernel": erdos_renyi_kernel,
    # Sparsities of `models.resnet(depth=50)` from other papers.
    "dsr_resnet50": _shipped("dsr_resnet50"),
    "str_resnet50": _shipped("str_resnet50"),
}


_ALIASES = {"er": "erdos_renyi", "erk": "erdos_renyi_kernel"}


def get(distribution: str | Distribution) -> Distribution:
    """Return the distribution of a name, or the function given.

    Args:
        distribution: key of `BY_NAME`, "er", "erk", or a function.

    Raises:
        ValueError: if there is no distribution of this name.
    """
    if callable(distribution):
        return distribution
    distribution = _ALIASES.get(distribution, distribution)
    checks.one_of("distribution", distribution, BY_NAME)
    return BY_NAME[distribution]
