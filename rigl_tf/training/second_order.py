"""Hessian-gradient products, for methods that score by second derivatives."""

import tensorflow as tf


def products(gradients, reduce, variables, scale):
    """Return `Hg`: the gradients of `sum(g * stop_gradient(g))` over kernels.

    Args:
        gradients: function without arguments that returns the gradients of a
            batch, a list like `variables`.
        reduce: function that sums a list of gradients over replicas.
        variables: list of `trained_variables.Trained`.
        scale: factor by which losses, and so gradients, are scaled.

    Returns:
        list like `variables`.
    """
    with tf.GradientTape() as tape:
        first = [
            # The square of a loss scale would overflow.
            None if g is None else g / tf.cast(scale, g.dtype)
            for g in gradients()
        ]
        terms = [
            tf.reduce_sum(gradient * tf.stop_gradient(reduced))
            for gradient, reduced, entry in zip(first, reduce(first), variables)
            if gradient is not None and entry.kernel is not None
        ]
        total = tf.add_n(terms)
    return tape.gradient(total, [entry.variable.value for entry in variables])
