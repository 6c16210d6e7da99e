"""Compare the classes that a model predicts with the labels of a batch."""

from collections.abc import Callable
from collections.abc import Iterable
import typing

import keras
import numpy as np
import tensorflow as tf


def counter(
    predict: Callable[..., tf.Tensor], n_classes: int
) -> Callable[[typing.Any], tf.Tensor]:
    """Return a function of a batch: its confusion matrix [K, K].

    Args:
        predict: function `(x, training) -> logits`.
        n_classes: number of logits K.
    """

    def count(batch):
        labels, predicted, weights = _columns(batch, predict)
        return tf.math.confusion_matrix(
            labels, predicted, n_classes, weights, tf.float32
        )

    return count


def rows(
    predict: Callable[..., tf.Tensor],
) -> Callable[[typing.Any], tf.Tensor]:
    """Return a function of a batch: rows of label, class, and 1 if it counts.

    Args:
        predict: function `(x, training) -> logits`.
    """

    def rows_of(batch):
        labels, predicted, weights = _columns(batch, predict)
        counts = tf.cast(weights > 0, tf.int32)
        return tf.stack([labels, predicted, counts], axis=1)

    return rows_of


def joined(found: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and predicted classes of the rows that count.

    Args:
        found: the rows of each batch.
    """
    table = np.concatenate(list(found))
    labels, predicted, _ = table[table[:, 2] > 0].T
    return np.ascontiguousarray(labels), np.ascontiguousarray(predicted)


def _columns(batch, predict):
    """Return labels, predicted classes and weights, as vectors."""
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    predicted = tf.argmax(predict(x, training=False), -1, tf.int32)
    if weights is None:
        weights = tf.ones_like(predicted, tf.float32)
    columns = tf.cast(y, tf.int32), predicted, weights
    return [tf.reshape(column, [-1]) for column in columns]
