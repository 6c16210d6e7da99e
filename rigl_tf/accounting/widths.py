"""Find the width of a network that meets a budget."""

import bisect
import fractions

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
