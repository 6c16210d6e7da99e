"""Shapes whose units are more than one weight: blocks and channels."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.shapes import base

_POOLINGS = ("sum", "mean", "max")


@dataclasses.dataclass(frozen=True)
class Block(base.Unstructured):
    """Blocks of inputs times outputs, ranked over the whole kernel.

    Attributes:
        size: inputs and outputs of a block; at the border it may be smaller.
        pooling: score of a block: "sum", "mean" or "max" of its weights'.
    """

    size: tuple[int, int] = (4, 4)
    pooling: str = "sum"

    def __post_init__(self):
        if not isinstance(self.size, (tuple, list)) or len(self.size) != 2:
            raise ValueError(
                "`size` must be (inputs, outputs) of a block. "
                f"Received: size={self.size!r}"
            )
        for length in self.size:
            checks.at_least("size", length, 1, integer=True)
        checks.one_of("pooling", self.pooling, _POOLINGS)

    def n_members(self, kernel_shape):
        """Return the number of blocks, all in one group."""
        *rest, n_in, n_out = kernel_shape
        tall, wide = -(-n_in // self.size[0]), -(-n_out // self.size[1])
        return math.prod(rest) * tall * wide

    def pool(self, values):
        """Return one value per block."""
        *rest, n_in, n_out = values.shape
        (b_in, b_out), rank = self.size, len(rest)
        padding = [[0, 0]] * rank + [[0, -n_in % b_in], [0, -n_out % b_out]]
        filler = values.dtype.min if self.pooling == "max" else 0
        padded = tf.pad(values, padding, constant_values=filler)
        tall, wide = -(-n_in // b_in), -(-n_out // b_out)
        cut = tf.reshape(padded, [*rest, tall, b_in, wide, b_out])
        axes = [rank + 1, rank + 3]
        if self.pooling == "max":
            return tf.reduce_max(cut, axes)
        total = tf.reduce_sum(cut, axes)
        if self.pooling == "sum":
            return total
        heights = np.minimum(b_in, n_in - b_in * np.arange(tall))
        widths = np.minimum(b_out, n_out - b_out * np.arange(wide))
        return total / tf.cast(np.outer(heights, widths), total.dtype)

    def spread(self, units, kernel_shape):
        """Return the value of its block for each weight."""
        *_, n_in, n_out = kernel_shape
        tall = tf.repeat(units, self.size[0], axis=-2)[..., :n_in, :]
        return tf.repeat(tall, self.size[1], axis=-1)[..., :n_out]

    def __str__(self):
        return f"block_{self.size[0]}x{self.size[1]}_{self.pooling}"


@dataclasses.dataclass(frozen=True)
class Channel(base.Unstructured):
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
        checks.one_of("pooling", self.pooling, _POOLINGS)
        checks.one_of("axis", self.axis, (-1, -2))

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
