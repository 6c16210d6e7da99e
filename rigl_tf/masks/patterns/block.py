"""The block pattern: rectangles of weights that are switched together."""

from collections.abc import Sequence
import dataclasses
import math
import re
from typing import Literal
from typing import Self
from typing import cast
from typing import get_args

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks.patterns import one_group

Pooling = Literal["sum", "mean", "max"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


@dataclasses.dataclass(frozen=True)
class Block(one_group.OneGroup):
    """Blocks of inputs times outputs, ranked over the whole kernel.

    Attributes:
        size: inputs and outputs of a block; blocks at the border may be
            smaller.
        pooling: how the scores of a block's weights are combined: "sum",
            "mean" or "max".
    """

    names = '"block_4x1" (any size)'

    size: tuple[int, int] = (4, 4)
    pooling: Pooling = "sum"

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
    def parse(cls, text: str) -> Self | None:
        """Return the pattern with this name, or None for other names."""
        form = r"block_(\d+)x(\d+)(?:_(sum|mean|max))?"
        found = re.fullmatch(form, text)
        if found is None:
            return None
        n_in, n_out, pooling = found.groups()
        return cls((int(n_in), int(n_out)), cast(Pooling, pooling or "sum"))

    def n_members(self, kernel_shape: Sequence[int]) -> int:
        """Return the number of blocks; all are in one group."""
        *rest, n_in, n_out = kernel_shape
        tall, wide = -(-n_in // self.size[0]), -(-n_out // self.size[1])
        return math.prod(rest) * tall * wide

    def pool(self, values: tf.Tensor) -> tf.Tensor:
        """Return the score of each block."""
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

    def spread(
        self, units: tf.Tensor, kernel_shape: Sequence[int]
    ) -> tf.Tensor:
        """Return for each weight the value of its block."""
        *_, n_in, n_out = kernel_shape
        tall = tf.repeat(units, self.size[0], axis=-2)[..., :n_in, :]
        return tf.repeat(tall, self.size[1], axis=-1)[..., :n_out]

    def __str__(self):
        return f"block_{self.size[0]}x{self.size[1]}_{self.pooling}"
