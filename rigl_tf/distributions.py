"""Sparsity distributions: shapes of the kernels -> sparsity of each.

A distribution is a function `(shapes, sparsity, **options) -> {name: sparsity}`
where `shapes` maps the name of a kernel to its shape and `sparsity` is the
overall fraction of zeros S in [0, 1). RigL paper, section 3, (1).
"""

import bisect
import csv
import math
import pathlib

from rigl_tf import checks
from rigl_tf import masks
from rigl_tf import name_patterns


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
    fixed, free, budget = _split(shapes, sparsity, custom, count_custom)
    size = sum(math.prod(shapes[name]) for name in free)
    # Without a shared budget S itself is exact; a quotient would round it.
    share = 1 - budget / size if fixed and free and count_custom else sparsity
    return _in_order(shapes, fixed, {name: share for name in free})


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

    return _scaled(
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

    return _scaled(
        shapes, sparsity, raw_density, custom, count_custom, rounding
    )


def from_table(table):
    """Return the distribution that a table holds.

    The sparsity that is asked for chooses the column.

    Args:
        table: path of a CSV file with the column "kernel", names of kernels,
            and one column per overall sparsity, headed by it.

    Returns:
        function like the others of this module.
    """
    path = pathlib.Path(table)
    columns = _read_table(path)

    def distribution(shapes, sparsity, *, custom=None, count_custom=False):
        """Look the sparsities up; arguments as those of `uniform`."""
        found = [s for s in columns if abs(s - sparsity) < 1e-9]
        if not found:
            raise ValueError(
                f"`sparsity` must be one that {path.stem} has a column for: "
                f"{', '.join(map(str, columns))}. "
                f"Received: sparsity={sparsity}"
            )
        table = columns[found[0]]
        missing = shapes.keys() - table.keys()
        if missing:
            raise ValueError(
                f"{path.stem} must have a row for each kernel (of the model "
                f"that it is for). Received: kernel {min(missing)!r}"
            )
        if count_custom:
            raise ValueError("A table has no budget: leave `count_custom` out")
        fixed, free, _ = _split(shapes, sparsity, custom, False)
        return _in_order(shapes, fixed, {name: table[name] for name in free})

    distribution.__name__ = path.stem
    return distribution


def _read_table(path):
    """Read a table: {overall sparsity: {kernel: sparsity}}."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(x for x in lines if not x.startswith("#")))
    if not rows or list(rows[0])[0] != "kernel" or len(rows[0]) < 2:
        raise ValueError(
            '`table` needs a column "kernel" and one per overall sparsity. '
            f"Received: {str(path)!r}"
        )
    columns = {}
    for name in list(rows[0])[1:]:
        for row in rows:
            where = f"{path.name}, column {name!r}, row {row['kernel']!r}"
            try:
                overall, value = float(name), float(row[name])
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"`table` must hold numbers. Received: {where}: {row[name]}"
                ) from error
            checks.fraction(where, value, include_one=False)
            columns.setdefault(overall, {})[row["kernel"]] = value
    return columns


def _shipped(name):
    """Return a distribution that reads its table when it is first used."""

    def distribution(shapes, sparsity, **options):
        path = pathlib.Path(__file__).parent / "data" / f"{name}.csv"
        return from_table(path)(shapes, sparsity, **options)

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


def _split(shapes, sparsity, custom, count_custom, rounding="floor"):
    """Check the arguments; return fixed sparsities, free names, free budget.

    The budget is the number of ones that the free kernels share.
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
        masks.n_ones(math.prod(shapes[name]), sparsity, rounding)
        for name in counted
    )
    if count_custom and fixed:
        budget = _spend(shapes, fixed, free, sparsity, budget)
    return fixed, free, budget


def _spend(shapes, fixed, free, sparsity, budget):
    """Subtract the ones of the fixed kernels from the budget."""
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    spent = sum(masks.n_ones(sizes[name], s) for name, s in fixed.items())
    # Every free kernel keeps at least one connection, and at most all.
    least = spent + len(free)
    most = spent + sum(sizes[name] for name in free)
    if least <= budget <= most:
        return budget - spent

    def ones(millionths):
        share = millionths / 10**6
        return sum(masks.n_ones(size, share) for size in sizes.values())

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


def _scaled(shapes, sparsity, raw_density, custom, count_custom, rounding):
    """Solve for eps, making kernels dense whose density would exceed 1."""
    for name, shape in shapes.items():
        if len(shape) < 2:
            raise ValueError(
                "Erdos-Renyi distributions need kernels of rank 2 or more. "
                f"Received: shape {tuple(shape)} of {name!r}"
            )
    fixed, sparse, budget = _split(
        shapes, sparsity, custom, count_custom, rounding
    )
    raw = {name: raw_density(shapes[name]) for name in sparse}
    dense = []
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
    return _in_order(shapes, fixed, free)


def _in_order(shapes, *parts):
    merged = {name: s for part in parts for name, s in part.items()}
    return {name: merged[name] for name in shapes}
