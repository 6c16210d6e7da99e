"""Find the width multipliers of Small-Dense and Big-Sparse networks."""

import bisect
from collections.abc import Callable
import fractions
import math
from typing import Literal
from typing import get_args

import keras

from rigl_tf import checks
from rigl_tf.layers import building


def find_width(
    measure: Callable[[float], float],
    budget: float,
    *,
    step: float = 0.001,
    at_most: bool = True,
    widest: float = 16,
) -> float:
    """Return the width multiplier at which a network meets a budget.

    Small-Dense networks are the narrowest with at least the size of the sparse
    network, `at_most=False`; Big-Sparse networks are the widest with at most
    the size of the dense network (RigL paper, section 4).

    Args:
        measure: function from a width to a size (parameters, bytes, FLOPs)
            that does not decrease as the width grows.
        budget: the size, in the unit of `measure`.
        step: widths are multiples of it.
        at_most: whether to find the widest network with
            `measure(width) <= budget`, or the narrowest with at least `budget`.
        widest: a width that is certainly too large.

    Raises:
        TypeError: if `budget` or `step` is not a number.
        ValueError: if no width in (0, widest) meets the budget.
    """
    checks.above("budget", budget, 0)
    checks.above("step", step, 0)
    grid = fractions.Fraction(str(step))
    last = int(widest / grid)

    def width(index):
        return float(index * grid)

    def size(index):
        return measure(width(index))

    find = bisect.bisect_right if at_most else bisect.bisect_left
    index = find(range(1, last + 1), budget, key=size)
    index += 0 if at_most else 1
    # At the end of the grid, a wider network might still meet the budget.
    if not 1 <= index <= last - at_most:
        raise ValueError(
            f"No width in (0, {widest}) meets `budget`: {width(1):g} gives "
            f"{size(1):g}, {width(last):g} gives {size(last):g}. "
            f"Received: budget={budget}"
        )
    return width(index)


_WIDEST = 64
Rule = Literal["small_dense", "big_sparse"]
RULES: tuple[Rule, ...] = get_args(Rule)


def rival_width(
    rule: str,
    build: Callable[[float], keras.Model],
    count_zeros: Callable[[keras.Model], int],
) -> float:
    """Return the width at which a network meets the size of its rival.

    Sizes are numbers of trainable parameters. Small-Dense is the narrowest
    dense network with at least as many as the sparse network; Big-Sparse is the
    widest sparse network with at most as many as the dense network (RigL paper,
    section 4). Networks are only built symbolically, without values.

    Args:
        rule: "small_dense" or "big_sparse".
        build: function from a width to a Keras model.
        count_zeros: function from a dense Keras model to the number of zeros
            that it has as a sparse network.

    Returns:
        The width, a multiple of 0.001.

    Raises:
        ValueError: if no width below 16, or 64 for Big-Sparse, meets the size.
    """

    def network(width):
        with building.without_values():
            return build(width)

    def dense_size(width):
        return _parameters(network(width))

    def sparse_size(width):
        net = network(width)
        return _parameters(net) - count_zeros(net)

    if rule == "small_dense":
        budget = sparse_size(1.0)
        return find_width(dense_size, budget, at_most=False)
    return find_width(sparse_size, dense_size(1.0), widest=_WIDEST)


def _parameters(net):
    return sum(math.prod(v.shape) for v in net.trainable_variables)
