"""The N:M pattern: N active weights among M neighbors."""

from collections.abc import Sequence
import dataclasses
import re
from typing import Self

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks.patterns import base


@dataclasses.dataclass(frozen=True)
class NOfM(base.Pattern):
    """N of M neighboring inputs of an output unit, e.g. "2:4".

    Attributes:
        m: number of neighbors in a group, at least 2; must divide the number of
            inputs.
        n: number of active neighbors; None for `M - floor(s^l M)`, which
            follows the sparsity.
        axis: axis along which weights are neighbors. The default -2, the inputs
            that a matrix product sums over, is the axis that sparse hardware
            supports.

    Reference: Zhou et al. 2021, "Learning N:M Fine-grained Structured Sparse
    Neural Networks From Scratch".
    """

    names = '"2:4" (N:M)'

    m: int = 4
    n: int | None = None
    axis: int = -2

    def __post_init__(self):
        checks.at_least("m", self.m, 2, integer=True)
        if self.n is not None:
            checks.at_least("n", self.n, 1, integer=True)
            if self.n > self.m:
                raise ValueError(
                    "N of M: `n` must be at most `m`. Received: "
                    f"n={self.n}, m={self.m}"
                )

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the pattern with this name, or None for other names."""
        found = re.fullmatch(r"(n|\d+):(\d+)(?:_axis(-?\d+))?", text)
        if found is None:
            return None
        n, m, axis = found.groups()
        return cls(int(m), None if n == "n" else int(n), int(axis or -2))

    def check(
        self, path: str, kernel_shape: Sequence[int], sparsity: float
    ) -> None:
        """Require that M divides the axis, and that N fits the sparsity.

        See `Pattern.check` for the arguments.
        """
        if not -len(kernel_shape) <= self.axis < len(kernel_shape):
            raise ValueError(
                f"{self}: every kernel must have an axis {self.axis}. "
                f"Received: {path!r} of shape {tuple(kernel_shape)}"
            )
        if kernel_shape[self.axis] % self.m:
            raise ValueError(
                f"{self}: {self.m} must divide axis {self.axis} of every "
                f"kernel. Received: {path!r} of shape {tuple(kernel_shape)}; "
                "leave it out with `dense_layers`"
            )
        n_units = self.n_units(kernel_shape, sparsity)
        if sparsity and self.n is not None and n_units != self.n:
            raise ValueError(
                f"{self} is a sparsity of {1 - self.n / self.m:g} in every "
                f"kernel. Received: {sparsity:.4g} for {path!r}; use the "
                f'distribution "uniform", or leave N out ("n:{self.m}")'
            )

    def n_members(self, kernel_shape: Sequence[int]) -> int:
        """Return M."""
        return self.m

    def allows(self, counts: np.ndarray) -> bool:
        """Return whether masks may have these counts of units per group."""
        return super().allows(counts) and counts.max() <= (self.n or self.m)

    def rows(self, units: tf.Tensor) -> tf.Tensor:
        """Return groups of M neighbors."""
        return tf.reshape(_move_last(units, self.axis), [-1, self.m])

    def from_rows(
        self, rows: tf.Tensor, unit_shape: Sequence[int]
    ) -> tf.Tensor:
        """Undo `rows`."""
        axis = self.axis % len(unit_shape)
        shape = [*unit_shape[:axis], *unit_shape[axis + 1 :], unit_shape[axis]]
        return _move_back(tf.reshape(rows, shape), self.axis)

    def __str__(self):
        axis = "" if self.axis == -2 else f"_axis{self.axis}"
        return f"{self.n or 'n'}:{self.m}{axis}"


def _move_last(values, axis):
    order = list(range(len(values.shape)))
    order.append(order.pop(axis))
    return tf.transpose(values, order)


def _move_back(values, axis):
    order = list(range(len(values.shape) - 1))
    order.insert(axis % len(values.shape), len(values.shape) - 1)
    return tf.transpose(values, order)
