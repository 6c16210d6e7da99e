"""Whole input or output channels that are active or inactive together."""

import dataclasses
import re

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks.patterns import block
from rigl_tf.masks.patterns import unstructured


@dataclasses.dataclass(frozen=True)
class Channel(unstructured.Unstructured):
    """Whole output channels (units of a dense layer), or whole input channels.

    Attributes:
        pooling: score of a channel: "sum", "mean" or "max" of its weights'.
        axis: axis of the kernel along which channels lie: -1 for the outputs,
            -2 for the inputs. (In a grouped convolution an input channel of
            the kernel is that of every group.)
    """

    pooling: str = "sum"
    axis: int = -1

    def __post_init__(self):
        checks.one_of("pooling", self.pooling, block.POOLINGS)
        checks.one_of("axis", self.axis, (-1, -2))

    @classmethod
    def parse(cls, text):
        """Return the pattern of a name, or None if the name is not of ours."""
        found = re.fullmatch("channel(_in)?(?:_(sum|mean|max))?", text)
        if found is None:
            return None
        inputs, pooling = found.groups()
        return cls(pooling or "sum", -2 if inputs else -1)

    def n_members(self, kernel_shape):
        """Return the number of channels, all in one group."""
        return kernel_shape[self.axis]

    def pool(self, values):
        """Return one value per channel."""
        reduce = {
            "sum": tf.reduce_sum,
            "mean": tf.reduce_mean,
            "max": tf.reduce_max,
        }[self.pooling]
        others = list(range(len(values.shape)))
        del others[self.axis]
        return reduce(values, others)

    def spread(self, units, kernel_shape):
        """Return the value of its channel for each weight."""
        units = units if self.axis == -1 else units[:, tf.newaxis]
        return tf.broadcast_to(units, kernel_shape)

    def __str__(self):
        side = "" if self.axis == -1 else "_in"
        return f"channel{side}_{self.pooling}"
