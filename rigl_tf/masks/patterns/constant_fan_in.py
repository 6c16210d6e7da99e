"""Constant fan-in: every output unit has equally many inputs."""

import dataclasses
import math

import tensorflow as tf

from rigl_tf.masks.patterns import base


@dataclasses.dataclass(frozen=True)
class ConstantFanIn(base.Pattern):
    """As many active inputs for every output unit.

    Reference: Lasby et al. 2024, "Dynamic Sparse Training with Structured
    Sparsity", section 3.
    """

    @classmethod
    def parse(cls, text):
        """Return the pattern of a name, or None if the name is not of ours."""
        return cls() if text == "constant_fan_in" else None

    def n_members(self, kernel_shape):
        """Return the number of inputs of an output unit."""
        return math.prod(kernel_shape[:-1])

    def rows(self, units):
        """Return one group per output unit: its inputs."""
        return tf.transpose(tf.reshape(units, [-1, units.shape[-1]]))

    def from_rows(self, rows, unit_shape):
        """Undo `rows`."""
        return tf.reshape(tf.transpose(rows), unit_shape)

    def __str__(self):
        return "constant_fan_in"
