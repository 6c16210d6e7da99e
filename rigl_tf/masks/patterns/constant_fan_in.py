"""The constant fan-in pattern: equally many inputs for every output unit."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Self

import tensorflow as tf

from rigl_tf.masks.patterns import base


@dataclasses.dataclass(frozen=True)
class ConstantFanIn(base.Pattern):
    """The same number of active inputs for every output unit.

    Reference: Lasby et al. 2024, "Dynamic Sparse Training with Structured
    Sparsity", section 3.
    """

    names = '"constant_fan_in"'

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the pattern with this name, or None for other names."""
        return cls() if text == "constant_fan_in" else None

    def n_members(self, kernel_shape: Sequence[int]) -> int:
        """Return the number of inputs of an output unit."""
        return math.prod(kernel_shape[:-1])

    def rows(self, units: tf.Tensor) -> tf.Tensor:
        """Return one group per output unit, which contains its inputs."""
        return tf.transpose(tf.reshape(units, [-1, units.shape[-1]]))

    def from_rows(
        self, rows: tf.Tensor, unit_shape: Sequence[int]
    ) -> tf.Tensor:
        """Undo `rows`."""
        return tf.reshape(tf.transpose(rows), unit_shape)

    def __str__(self):
        return "constant_fan_in"
