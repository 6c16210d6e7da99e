"""What a model costs: operations, parameters, bytes, training."""

from rigl_tf.accounting.counts import ModelCount
from rigl_tf.accounting.counts import count

__all__ = ["ModelCount", "count"]
