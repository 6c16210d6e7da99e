"""Options of input pipelines."""

import tensorflow as tf

# TensorFlow (2.21) wakes the thread that tunes a pipeline before it says that
# the iterator is cancelled. If the thread looks too early, it sleeps on, and
# deleting the iterator takes as long as the last pause between two tunings, up
# to a minute. Pipelines of arrays gain nothing from being tuned.
UNTUNED = tf.data.Options()
UNTUNED.autotune.enabled = False
