"""Count what models cost: operations, parameters, bytes, training."""

from rigl_tf.accounting.costs import TOTALS
from rigl_tf.accounting.costs import ModelCount
from rigl_tf.accounting.rules import count
from rigl_tf.accounting.widths import find_width

__all__ = ["TOTALS", "ModelCount", "count", "find_width"]
