"""Reduce, unscale and pick the gradients that steps and updates use."""

from collections.abc import Callable
from collections.abc import Sequence

import keras
import tensorflow as tf

from rigl_tf.layers import kernel_masks
from rigl_tf.training import trained_variables

Gradients = Sequence[tf.Tensor | None]


def loss_scale(optimizer: keras.optimizers.Optimizer) -> tf.Tensor:
    """Return the factor by which an optimizer scales losses."""
    return optimizer.scale_loss(tf.constant(1.0))


def reduce(
    gradients: Gradients, strategy: tf.distribute.Strategy
) -> list[tf.Tensor | None]:
    """Sum gradients over replicas, once, before masking and clipping.

    Args:
        gradients: of this replica; None where there is none.
        strategy: the strategy under which the replica runs.
    """
    if strategy.num_replicas_in_sync == 1:
        return list(gradients)
    context = tf.distribute.get_replica_context()
    # Some gradients are on no device, which a collective must have.
    placed = [tf.identity(g) for g in gradients if g is not None]
    reduced = iter(context.all_reduce("sum", placed))
    return [None if g is None else next(reduced) for g in gradients]


def of_kernels(
    gradients: Gradients,
    variables: Sequence[trained_variables.Trained],
    kernels: Sequence[kernel_masks.MaskedKernel],
    scale: tf.Tensor,
) -> list[tf.Tensor]:
    """Pick the gradients of kernels, without the scale of the loss.

    Args:
        gradients: list like `variables`.
        variables: all that is trained.
        kernels: the kernels wanted; zeros stand for a missing gradient.
        scale: factor by which the loss was scaled.
    """
    by_id = {
        id(entry.variable): gradient
        for gradient, entry in zip(gradients, variables)
    }
    return [
        tf.zeros_like(kernel.value)
        if gradient is None
        # Graphs lose the shapes of some gradients.
        else tf.ensure_shape(
            gradient / tf.cast(scale, gradient.dtype), kernel.shape
        )
        for kernel, gradient in (
            (item.kernel, by_id[id(item.kernel)]) for item in kernels
        )
    ]


def hessian_products(
    gradients: Callable[[], Gradients],
    variables: Sequence[trained_variables.Trained],
    strategy: tf.distribute.Strategy,
    scale: tf.Tensor,
) -> list[tf.Tensor | None]:
    """Return `Hg`: the gradients of `sum(g * stop_gradient(g))` over kernels.

    Args:
        gradients: function without arguments that returns the gradients of a
            batch, a list like `variables`.
        variables: all that is trained.
        strategy: the strategy under which the replica runs.
        scale: factor by which the loss, and so each gradient, is scaled.

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
            for gradient, reduced, entry in zip(
                first, reduce(first, strategy), variables
            )
            if gradient is not None and entry.kernel is not None
        ]
        total = tf.add_n(terms)
    return tape.gradient(total, [entry.variable.value for entry in variables])
