"""The channel pattern: whole channels of weights that are switched together."""

from collections.abc import Sequence
import dataclasses
import re
from typing import Self
from typing import cast

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks.patterns import block
from rigl_tf.masks.patterns import one_group


@dataclasses.dataclass(frozen=True)
class Channel(one_group.OneGroup):
    """Whole output channels (units of a dense layer), or whole input channels.

    Attributes:
        pooling: how the scores of a channel's weights are combined: "sum",
            "mean" or "max".
        axis: axis of the kernel that the channels are counted along: -1 for
            outputs, -2 for inputs. (In a grouped convolution, an input channel
            of the kernel belongs to all groups.)
    """

    names = '"channel", "channel_in"'

    pooling: block.Pooling = "sum"
    axis: int = -1

    def __post_init__(self):
        checks.one_of("pooling", self.pooling, block.POOLINGS)
        checks.one_of("axis", self.axis, (-1, -2))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the pattern with this name, or None for other names."""
        found = re.fullmatch("channel(_in)?(?:_(sum|mean|max))?", text)
        if found is None:
            return None
        inputs, pooling = found.groups()
        return cls(cast(block.Pooling, pooling or "sum"), -2 if inputs else -1)

    def n_members(self, kernel_shape: Sequence[int]) -> int:
        """Return the number of channels; all are in one group."""
        return kernel_shape[self.axis]

    def pool(self, values: tf.Tensor) -> tf.Tensor:
        """Return the score of each channel."""
        reduce = {
            "sum": tf.reduce_sum,
            "mean": tf.reduce_mean,
            "max": tf.reduce_max,
        }[self.pooling]
        others = list(range(len(values.shape)))
        del others[self.axis]
        return reduce(values, others)

    def spread(
        self, units: tf.Tensor, kernel_shape: Sequence[int]
    ) -> tf.Tensor:
        """Return for each weight the value of its channel."""
        units = units if self.axis == -1 else units[:, tf.newaxis]
        return tf.broadcast_to(units, kernel_shape)

    def __str__(self):
        side = "" if self.axis == -1 else "_in"
        return f"channel{side}_{self.pooling}"
