"""Width multipliers of Small-Dense and Big-Sparse networks."""

import contextlib
import math

import keras
from keras.src.backend.common import global_state

from rigl_tf import accounting

_WIDEST = 64
RULES = ("small_dense", "big_sparse")


def find_width(rule, build, count_zeros):
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
        return accounting.find_width(dense_size, budget, at_most=False)
    return accounting.find_width(sparse_size, dense_size(1.0), widest=_WIDEST)


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
