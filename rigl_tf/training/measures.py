"""Sum losses and metrics over the examples of a batch."""

from collections.abc import Callable
import typing

import keras
import numpy as np
import tensorflow as tf


def function_of(
    loss: typing.Any,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the function `(y, y_pred) -> [batch]` of a loss."""
    loss = keras.losses.get(loss)
    return loss.call if isinstance(loss, keras.losses.Loss) else loss


def sums(
    measures: dict[str, Callable],
    y: tf.Tensor,
    predictions: tf.Tensor,
    weights: tf.Tensor | None,
) -> list[tf.Tensor]:
    """Sum `[weights, measures...]` over this replica's examples."""
    predictions = keras.tree.map_structure(_not_half, predictions)
    values = [measure(y, predictions) for measure in measures.values()]
    values = [tf.cast(value, tf.float32) for value in values]
    if weights is None:
        total = tf.cast(tf.size(values[0]), tf.float32)
    else:
        weights = tf.cast(weights, tf.float32)
        values = [value * weights for value in values]
        weights = tf.broadcast_to(weights, tf.shape(values[0]))
        total = tf.reduce_sum(weights)
    return [total, *[tf.reduce_sum(value) for value in values]]


def means(
    totals: np.ndarray, measures: dict[str, Callable]
) -> dict[str, float]:
    """Turn summed `[weights, measures...]` into a dictionary."""
    if not totals[0]:
        return {}
    return {n: float(t / totals[0]) for n, t in zip(measures, totals[1:])}


def _not_half(predictions):
    """Compute losses in float32 at least, as Keras does."""
    if predictions.dtype in (tf.bfloat16, tf.float16):
        return tf.cast(predictions, tf.float32)
    return predictions
