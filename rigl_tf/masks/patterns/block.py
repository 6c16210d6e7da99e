"""Blocks of weights that are active or inactive together."""

import dataclasses
import math
import re

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks.patterns import unstructured

POOLINGS = ("sum", "mean", "max")


@dataclasses.dataclass(frozen=True)
class Block(unstructured.Unstructured):
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
        checks.one_of("pooling", self.pooling, POOLINGS)

    @classmethod
    def parse(cls, text):
        """Return the pattern of a name, or None if the name is not of ours."""
        form = r"block_(\d+)x(\d+)(?:_(sum|mean|max))?"
        found = re.fullmatch(form, text)
        if found is None:
            return None
        n_in, n_out, pooling = found.groups()
        return cls((int(n_in), int(n_out)), pooling or "sum")

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
