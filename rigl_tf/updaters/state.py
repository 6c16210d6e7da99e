"""State variables and checks that updaters share."""

from collections.abc import Sequence
import typing

import keras
import tensorflow as tf

from rigl_tf.masks import patterns


def state_variable(value: typing.Any, name: str) -> keras.Variable:
    """Create a state variable that each replica keeps for itself.

    Updates are computed from reduced gradients and stateless randomness alone,
    so that the copies agree.

    Args:
        value: first value, tensor or array.
        name: name of the variable.
    """
    return keras.Variable(
        value, trainable=False, autocast=False, aggregation="none", name=name
    )


def require_unstructured(pattern: patterns.Pattern, what: str) -> None:
    """Raise ValueError unless masks are made of single weights."""
    if pattern != patterns.UNSTRUCTURED:
        raise ValueError(
            f"{what} counts single weights over all kernels: the pattern "
            'must be "unstructured" (PATTERN). Received: '
            f'pattern="{pattern}"'
        )


def all_finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return whether all values are finite, a scalar boolean tensor."""
    sums = [tf.reduce_sum(tensor) for tensor in tensors]
    # A sum is infinite or NaN if any element is; the rare overflow of finite
    # ones only skips an update.
    return tf.reduce_all([tf.math.is_finite(total) for total in sums])
