"""Width multipliers of Small-Dense and Big-Sparse networks."""

import bisect
import contextlib
import fractions
import math

import keras
from keras.src.backend.common import global_state

from rigl_tf import checks


def find_width(measure, budget, *, step=0.001, at_most=True, widest=16):
    """Return the width multiplier at which a network meets a budget.

    Small-Dense networks are the narrowest that reach the size of the sparse
    network, `at_most=False`; Big-Sparse networks the widest that stay within
    the size of the dense one (RigL paper, section 4).

    Args:
        measure: function from a width to a size (parameters, bytes, FLOPs)
            that does not fall as the width grows.
        budget: the size, in the unit of `measure`.
        step: widths are multiples of it.
        at_most: whether to find the widest network with
            `measure(width) <= budget`, or the narrowest with at least that.
        widest: width that is certainly too wide.

    Returns:
        the width.

    Raises:
        ValueError: no width in (0, widest) meets the budget.
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
    # At the end of the grid, a wider network might still be within the budget.
    if not 1 <= index <= last - at_most:
        raise ValueError(
            f"No width in (0, {widest}) meets `budget`: {width(1):g} gives "
            f"{size(1):g}, {width(last):g} gives {size(last):g}. "
            f"Received: budget={budget}"
        )
    return width(index)


_WIDEST = 64
RULES = ("small_dense", "big_sparse")


def rival_width(rule, build, count_zeros):
    """Return the width at which a network meets the size of its rival.

    Sizes are trainable parameters. Small-Dense is the narrowest dense network
    with at least as many as the sparse network has; Big-Sparse the widest
    sparse one with at most as many as the dense network has (RigL paper,
    section 4). No network is built in earnest: only shapes are looked at.

    Args:
        rule: "small_dense" or "big_sparse".
        build: function from a width to a Keras model.
        count_zeros: function from a dense Keras model to the number of zeros
            that it is to have as a sparse one.

    Returns:
        the width, a multiple of 0.001.

    Raises:
        ValueError: no width below 16, or 64 for Big-Sparse, will do.
    """

    def network(width):
        with _without_values():
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


@contextlib.contextmanager
def _without_values():
    """Build networks of shapes only; Keras forgets their variables afterwards.

    Keras (3.15) puts each variable that is made in a stateless scope into a
    global list, and gives it a value when the next such scope ends, e.g. that
    of a symbolic call of a Lambda layer. Left there, all networks of a search
    would stay in memory and be allocated then.
    """
    found = _uninitialized()
    others = list(found)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # In place: it is the list that Keras holds. If a scope inside has
        # replaced it, all that was in the old one has got its value.
        left = _uninitialized()
        left[:] = [v for v in left if any(v is other for other in others)]


def _uninitialized():
    return global_state.get_global_attribute(
        "uninitialized_variables", [], set_to_default=True
    )


def _parameters(net):
    return sum(math.prod(v.shape) for v in net.trainable_variables)
