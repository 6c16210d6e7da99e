"""The loss of classification, with smoothed labels."""

import typing

import keras
import tensorflow as tf

from rigl_tf import checks


@keras.saving.register_keras_serializable(package="rigl_tf")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits with smoothed labels (Szegedy et al. 2016).

    `logsumexp(z) - (1 - eps) * z_y - eps * mean(z)`: the true class has
    probability `1 - eps + eps / K`, every other `eps / K`.

    Args:
        label_smoothing: eps, in [0, 1).
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        name: str = "crossentropy",
        **kwargs: typing.Any,
    ):
        checks.fraction("label_smoothing", label_smoothing, include_one=False)
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Return the loss of each example.

        Args:
            y_true: integer labels, [batch, ...].
            y_pred: logits, [batch, ..., classes].
        """
        labels = tf.reshape(tf.cast(y_true, tf.int32), tf.shape(y_pred)[:-1])
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, y_pred)
        if self.label_smoothing == 0:
            return loss
        smooth = tf.reduce_logsumexp(y_pred, -1) - tf.reduce_mean(y_pred, -1)
        return (1 - self.label_smoothing) * loss + self.label_smoothing * smooth

    def get_config(self) -> dict[str, typing.Any]:
        """Return the arguments, and that logits are expected."""
        return {
            **super().get_config(),
            "label_smoothing": self.label_smoothing,
            "from_logits": True,
        }

    @classmethod
    def from_config(cls, config: dict[str, typing.Any]) -> typing.Self:
        """Return the loss of a configuration."""
        config.pop("from_logits", None)
        return super().from_config(config)
