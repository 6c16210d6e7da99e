"""The base of patterns whose units compete over the whole kernel."""

from collections.abc import Sequence

import tensorflow as tf

from rigl_tf.masks.patterns import base


class OneGroup(base.Pattern):
    """Units in one group, by their flat index."""

    def rows(self, units: tf.Tensor) -> tf.Tensor:
        """Return all units as one group."""
        return tf.reshape(units, [1, -1])

    def from_rows(
        self, rows: tf.Tensor, unit_shape: Sequence[int]
    ) -> tf.Tensor:
        """Undo `rows`."""
        return tf.reshape(rows, unit_shape)
