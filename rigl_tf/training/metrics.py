"""Metrics of predictions, one value per example."""

from collections.abc import Callable
import math
import typing

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checks


def per_class(confusion: np.ndarray) -> list[dict[str, typing.Any]]:
    """Return precision and recall of each class.

    Args:
        confusion: counts [K, K]; rows are true classes, columns predictions.

    Returns:
        list of dictionaries with "class", "n", "precision" and "recall"; None
        where nothing was predicted as the class, or nothing belongs to it.
    """
    rows = []
    for index, row in enumerate(confusion):
        right, n_true = float(row[index]), float(row.sum())
        n_predicted = float(confusion[:, index].sum())
        rows.append(
            {
                "class": index,
                "n": int(n_true),
                "precision": right / n_predicted if n_predicted else None,
                "recall": right / n_true if n_true else None,
            }
        )
    return rows


def bits_per_character(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return `-log2 p(label)` of each label, [...], by logits [..., classes].

    Its mean over a text is the bits per character of a language model.
    """
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return loss / math.log(2)


def top_k_accuracy(k: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the top-k accuracy as a function.

    Counts the logits above the label's, without sorting; ties count in favor of
    the label.

    Args:
        k: at least 1.

    Returns:
        function `(labels [batch], logits [batch, classes]) -> float32 [batch]`.
    """
    checks.at_least("k", k, 1, integer=True)

    def metric(labels, logits):
        labels = tf.reshape(tf.cast(labels, tf.int32), tf.shape(logits)[:-1])
        true = tf.gather(logits, labels, batch_dims=labels.shape.rank)
        above = tf.reduce_sum(tf.cast(logits > true[..., None], tf.int32), -1)
        return tf.cast(above < k, tf.float32)

    return metric


BY_NAME = {
    "accuracy": keras.metrics.sparse_categorical_accuracy,
    "top_5_accuracy": top_k_accuracy(5),
    "bits_per_character": bits_per_character,
}
