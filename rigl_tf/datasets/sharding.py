"""Global batches -> what each replica gets of them.

A global batch is a row of examples; replica r of R takes its r-th R-th part, in
whatever pipeline (one per host) it is. The batches of all replicas together do
not depend on how many there are.
"""

import tensorflow as tf

EVERYTHING = tf.distribute.InputContext()
# Workers would ask each other before each batch whether there is one.
ENDLESS = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)


def divide(positions, batch_size, context):
    """Give a pipeline its share of a vector of examples.

    Args:
        positions: integer tensor [n], n a multiple of `batch_size`.
        batch_size: global batch size.
        context: `tf.distribute.InputContext` of the pipeline.

    Returns:
        tensor [batches of replicas, batch size of a replica].
    """
    size = context.get_per_replica_batch_size(batch_size)
    n_pipelines = context.num_input_pipelines
    shares = tf.reshape(positions, [-1, n_pipelines, batch_size // n_pipelines])
    return tf.reshape(shares[:, context.input_pipeline_id], [-1, size])


def is_mine(position, batch_size, context):
    """Say whether the example at a position is this pipeline's.

    Args:
        position: integer tensor, of the example in the whole order.
        batch_size: as in `divide`.
        context: as in `divide`.
    """
    share = batch_size // context.num_input_pipelines
    return position % batch_size // share == context.input_pipeline_id
