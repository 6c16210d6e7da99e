"""Batch normalisation over several replicas."""

import keras
import tensorflow as tf


def find(model):
    """List the layers of batch normalisation inside of a model."""
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


class MovingStatistics:
    """The moving statistics of a model, kept equal on all replicas.

    Keras lets each replica keep its own: a checkpoint would hold those of one,
    and a resumed run would go on with other numbers. The mean over replicas is
    what one replica would have found in the global batch, but for the variance
    among the replicas' means.

    Args:
        model: Keras model.
        strategy: `tf.distribute.Strategy` of the model.
    """

    def __init__(self, model, strategy):
        self._variables = []
        if strategy.num_replicas_in_sync == 1:
            return
        for layer in find(model):
            if layer.trainable and not layer.synchronized:
                self._variables += [layer.moving_mean, layer.moving_variance]

    def average(self):
        """Average them; for the function of a replica, after a forward pass."""
        if not self._variables:
            return
        context = tf.distribute.get_replica_context()
        own = [tf.identity(v.value) for v in self._variables]
        for variable, mean in zip(
            self._variables, context.all_reduce("mean", own)
        ):
            variable.assign(mean)
