"""Divide global batches among replicas and hosts.

A global batch is a vector of examples. Replica r of R takes its r-th part of R,
in any pipeline (one per host). Together, the batches of all replicas do not
depend on their number.
"""

from typing import Literal
from typing import TypeAlias

import tensorflow as tf

Split: TypeAlias = Literal["train", "test"]
SPLITS = ("train", "test")
EVERYTHING = tf.distribute.InputContext()
# Without it, workers agree before each batch on whether there is one.
ENDLESS = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)


def divide(
    positions: tf.Tensor, batch_size: int, context: tf.distribute.InputContext
) -> tf.Tensor:
    """Return a pipeline's part of a vector of examples.

    Args:
        positions: integer tensor [n], n a multiple of `batch_size`.
        batch_size: global batch size.
        context: input context of the pipeline.

    Returns:
        A tensor [batches of replicas, batch size of a replica].
    """
    size = context.get_per_replica_batch_size(batch_size)
    n_pipelines = context.num_input_pipelines
    shares = tf.reshape(positions, [-1, n_pipelines, batch_size // n_pipelines])
    return tf.reshape(shares[:, context.input_pipeline_id], [-1, size])


def is_mine(
    position: tf.Tensor, batch_size: int, context: tf.distribute.InputContext
) -> tf.Tensor:
    """Return whether an example belongs to a pipeline, as a boolean tensor.

    Args:
        position: integer tensor, position of the example in the whole order.
        batch_size: global batch size.
        context: input context of the pipeline.
    """
    share = batch_size // context.num_input_pipelines
    return position % batch_size // share == context.input_pipeline_id
