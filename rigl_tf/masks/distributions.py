"""Sparsity distributions: shapes of the kernels -> sparsity of each."""

import math
import pathlib

from rigl_tf import checks
from rigl_tf.masks import budgets
from rigl_tf.masks import distribution_tables


def uniform(shapes, sparsity, *, custom=None, count_custom=False):
    """Give every kernel the same sparsity, `s^l = S`.

    Args:
        shapes: dictionary from the name of each kernel to its shape.
        sparsity: overall fraction of zeros S, in [0, 1).
        custom: optional dictionary from a name, or a regular expression that
            matches whole names, to a fixed sparsity in [0, 1). The first
            matching key decides. A key that matches nothing is an error.
        count_custom: whether the kernels of `custom` count in the budget. If
            so, the others are made sparser or denser so that S holds over all
            kernels; if not (default, the original code), S holds over the
            others alone.

    Returns:
        dictionary from name to sparsity, in the order of `shapes`.
    """
    fixed, free, budget = budgets.split(shapes, sparsity, custom, count_custom)
    size = sum(math.prod(shapes[name]) for name in free)
    # Without a shared budget S itself is exact; a quotient would round it.
    share = 1 - budget / size if fixed and free and count_custom else sparsity
    return budgets.in_order(shapes, fixed, {name: share for name in free})


def erdos_renyi(
    shapes, sparsity, *, custom=None, count_custom=False, rounding="floor"
):
    """Scale density with fan-in plus fan-out (ER; Mocanu et al. 2018).

    `1 - s^l = eps * (n_in + n_out) / (n_in * n_out)`, with n the last two
    dimensions of a kernel. `eps` is chosen so that the number of zeros meets
    S; a kernel whose density would exceed 1 stays dense.

    The arguments are those of `uniform`, and `rounding`, how the zeros of a
    kernel become a whole number: "floor", or "ceil", with which the published
    model sizes were made. Kernels need rank 2 or more.
    """

    def raw_density(shape):
        return sum(shape[-2:]) / math.prod(shape[-2:])

    return budgets.scaled(
        shapes, sparsity, raw_density, custom, count_custom, rounding
    )


def erdos_renyi_kernel(
    shapes,
    sparsity,
    *,
    power_scale=1.0,
    custom=None,
    count_custom=False,
    rounding="floor",
):
    """Scale density with the kernel's dimensions (ERK; RigL paper, section 3).

    `1 - s^l = eps * ((n_in + n_out + w + h) / (n_in * n_out * w * h))^p`. As
    `erdos_renyi`, with all dimensions of the kernel.

    The other arguments, and what is returned, are those of `erdos_renyi`;
    `power_scale` is the exponent p, at least 0: 1 is ERK, 0 is uniform.
    """
    checks.at_least("power_scale", power_scale, 0)

    def raw_density(shape):
        return (sum(shape) / math.prod(shape)) ** power_scale

    return budgets.scaled(
        shapes, sparsity, raw_density, custom, count_custom, rounding
    )


def _shipped(name):
    """Return a distribution that reads its table when it is first used."""

    def distribution(shapes, sparsity, **options):
        path = pathlib.Path(__file__).parent / "data" / f"{name}.csv"
        return distribution_tables.from_table(path)(shapes, sparsity, **options)

    distribution.__name__ = name
    return distribution


BY_NAME = {
    "uniform": uniform,
    "erdos_renyi": erdos_renyi,
    "erdos_renyi_kernel": erdos_renyi_kernel,
    # Other papers' sparsities of `models.resnet(depth=50)`.
    "dsr_resnet50": _shipped("dsr_resnet50"),
    "str_resnet50": _shipped("str_resnet50"),
}


_ALIASES = {"er": "erdos_renyi", "erk": "erdos_renyi_kernel"}


def get(distribution):
    """Return the distribution of a name, or the function itself.

    Args:
        distribution: key of `BY_NAME`, "er", "erk", or a function.
    """
    if callable(distribution):
        return distribution
    distribution = _ALIASES.get(distribution, distribution)
    checks.one_of("distribution", distribution, BY_NAME)
    return BY_NAME[distribution]
