"""Width multipliers of Small-Dense and Big-Sparse networks."""

import math

import keras

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
        with keras.StatelessScope(initialize_variables=False):
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


def _parameters(net):
    return sum(math.prod(v.shape) for v in net.trainable_variables)
