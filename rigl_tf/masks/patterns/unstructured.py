"""The unstructured pattern: every weight is switched on its own."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Self

import tensorflow as tf

from rigl_tf.masks import selection
from rigl_tf.masks import shared_graphs
from rigl_tf.masks.patterns import base
from rigl_tf.masks.patterns import one_group


@dataclasses.dataclass(frozen=True)
class Unstructured(one_group.OneGroup):
    """Single weights, ranked over the whole kernel."""

    names = '"unstructured"'

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the pattern with this name, or None for other names."""
        return cls() if text == "unstructured" else None

    def n_members(self, kernel_shape: Sequence[int]) -> int:
        """Return the number of units; all are in one group."""
        return math.prod(kernel_shape)

    def drop(
        self,
        mask: tf.Tensor,
        scores: tf.Tensor,
        drop_fraction: float | tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Drop the weakest active weights of one kernel; see `Pattern.drop`."""
        kept, n_dropped = shared_graphs.call(_drop, mask, scores, drop_fraction)
        return tf.ensure_shape(kept, mask.shape), n_dropped

    def grow(
        self,
        mask: tf.Tensor,
        kept: tf.Tensor,
        scores: tf.Tensor,
        n_units: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Grow the best weights outside of the kept set; see `Pattern.grow`."""
        new, grown = shared_graphs.call(_grow, mask, kept, scores, n_units)
        shape = mask.shape
        return tf.ensure_shape(new, shape), tf.ensure_shape(grown, shape)

    def _active(self, mask):
        return tf.cast(mask, tf.bool)

    def __str__(self):
        return "unstructured"


def _drop(mask, scores, drop_fraction):
    return base.Pattern.drop(Unstructured(), mask, scores, drop_fraction)


def _grow(mask, kept, scores, n_units):
    kept = tf.cast(kept, tf.bool)
    new = kept | selection.largest(scores, tf.reshape(n_units, []), ~kept)
    return new, new & ~tf.cast(mask, tf.bool)
