"""The unstructured pattern: every weight is switched on its own."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Self

import tensorflow as tf

from rigl_tf.masks.patterns import base


@dataclasses.dataclass(frozen=True)
class Unstructured(base.Pattern):
    """Single weights, ranked over the whole kernel."""

    names = '"unstructured"'

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the pattern with this name, or None for other names."""
        return cls() if text == "unstructured" else None

    def n_members(self, kernel_shape: Sequence[int]) -> int:
        """Return the number of units; all are in one group."""
        return math.prod(kernel_shape)

    def rows(self, units: tf.Tensor) -> tf.Tensor:
        """Return all units as one group."""
        return tf.reshape(units, [1, -1])

    def from_rows(
        self, rows: tf.Tensor, unit_shape: Sequence[int]
    ) -> tf.Tensor:
        """Undo `rows`."""
        return tf.reshape(rows, unit_shape)

    def __str__(self):
        return "unstructured"
