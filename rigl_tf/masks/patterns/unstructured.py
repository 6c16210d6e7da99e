"""The pattern without structure: every weight is a unit of its own."""

import dataclasses
import math

import tensorflow as tf

from rigl_tf.masks.patterns import base


@dataclasses.dataclass(frozen=True)
class Unstructured(base.Pattern):
    """Single weights, ranked over the whole kernel."""

    @classmethod
    def parse(cls, text):
        """Return the pattern of a name, or None if the name is not of ours."""
        return cls() if text == "unstructured" else None

    def n_members(self, kernel_shape):
        """Return the number of units, all in one group."""
        return math.prod(kernel_shape)

    def rows(self, units):
        """Return one group."""
        return tf.reshape(units, [1, -1])

    def from_rows(self, rows, unit_shape):
        """Undo `rows`."""
        return tf.reshape(rows, unit_shape)

    def __str__(self):
        return "unstructured"
