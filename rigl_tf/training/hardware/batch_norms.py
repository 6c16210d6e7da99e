"""Batch normalization over several replicas."""

import functools

import keras
import tensorflow as tf


def find(model: keras.Model) -> list[keras.Layer]:
    """List the batch normalization layers of a model."""
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def use_batch_statistics(model: keras.Model) -> None:
    """Make a model normalize by the statistics of each batch in evaluation too.

    For evaluations of training runs whose moving statistics are
    unreliable, as with `use_batch_statistics` of the original code. Dropout and
    other layers are left alone.

    Raises:
        ValueError: the model has no batch normalization.
    """
    layers = find(model)
    if not layers:
        raise ValueError(
            "`batch_statistics` is for models with batch normalization. "
            f"Received: {model.name!r}, which has none"
        )
    for layer in layers:
        layer.call = functools.partial(_call_in_training, layer.call)


def _call_in_training(call, inputs, training=None, mask=None):
    del training
    return call(inputs, training=True, mask=mask)


class MovingStatistics:
    """The moving statistics of a model, kept equal on all replicas.

    Keras keeps separate ones on each replica: a checkpoint would hold those of
    one replica, and a resumed run would continue with other numbers. The mean
    over replicas equals the statistics of the global batch, except for the
    variance among the means of the replicas.

    Args:
        model: Keras model.
        strategy: `tf.distribute.Strategy` of the model.
    """

    def __init__(self, model: keras.Model, strategy: tf.distribute.Strategy):
        self._variables = []
        if strategy.num_replicas_in_sync == 1:
            return
        for layer in find(model):
            if layer.trainable and not layer.synchronized:
                self._variables += [layer.moving_mean, layer.moving_variance]

    def average(self) -> None:
        """Average them after a forward pass, inside the replica function."""
        if not self._variables:
            return
        context = tf.distribute.get_replica_context()
        own = [tf.identity(v.value) for v in self._variables]
        for variable, mean in zip(
            self._variables, context.all_reduce("mean", own)
        ):
            variable.assign(mean)
