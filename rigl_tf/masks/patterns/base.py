"""The interface of all sparsity patterns."""

import abc
import math

import numpy as np
import tensorflow as tf

from rigl_tf.masks import counts
from rigl_tf.masks import selection

# A structured mask may miss the overall sparsity by so much, and have so many
# times the weights: it is made of whole units, and each group has its count.
_TOLERANCE = 0.05
_FACTOR = 2.0


class Pattern(abc.ABC):
    """Base of all patterns; a unit is one weight unless overridden.

    Kernels are arrays of rank 2 or more whose last axis holds the output
    units, and the one before it the input units. (`sparsify` refuses layers
    whose kernels are not.) Models are saved with the name of a pattern: one of
    your own trains, but is not restored from a file.
    """

    @classmethod
    @abc.abstractmethod
    def parse(cls, text):
        """Return the pattern that a name stands for, or None.

        Args:
            text: e.g. "2:4"; names are those that `str` gives.
        """

    def left(self, kernel_shape, sparsity):
        """Count the active units of each group that pruning leaves.

        `n - floor(s n)`, as in a fresh mask, for a traced sparsity.

        Args:
            kernel_shape: shape of the kernel.
            sparsity: scalar float tensor.

        Returns:
            scalar int32 tensor, at least 1.
        """
        n_members = self.n_members(kernel_shape)
        zeros = tf.cast(sparsity, tf.float64) * n_members
        # A product that should be an integer may lie just below.
        zeros = tf.cast(tf.floor(zeros + 1e-6), tf.int32)
        return tf.maximum(n_members - zeros, 1)

    def check(self, path, kernel_shape, sparsity):
        """Raise ValueError if a kernel cannot have masks of this pattern.

        Args:
            path: structural path of the kernel, for the message.
            kernel_shape: its shape.
            sparsity: its target.
        """
        del path, kernel_shape, sparsity

    def pool(self, values):
        """Return one value per unit: scores of weights -> scores of units."""
        return values

    def spread(self, units, kernel_shape):
        """Return one value per weight: the value of its unit."""
        del kernel_shape
        return units

    @abc.abstractmethod
    def rows(self, units):
        """Arrange units as [groups, members]; members by their flat index."""

    @abc.abstractmethod
    def from_rows(self, rows, unit_shape):
        """Undo `rows`, for units in an array of shape `unit_shape`."""

    @abc.abstractmethod
    def n_members(self, kernel_shape):
        """Return the number of units in a group, int."""

    # What follows is the same for all patterns.

    def check_sparsities(self, kernel_shapes, sparsities):
        """Raise ValueError if masks of this pattern cannot be so sparse.

        Args:
            kernel_shapes: dictionary from kernel path to shape.
            sparsities: dictionary from kernel path to s^l.
        """
        n_active = n_wanted = 0
        for path, kernel_shape in kernel_shapes.items():
            self.check(path, kernel_shape, sparsities[path])
            n_active += self.n_active(kernel_shape, sparsities[path])
            size = math.prod(kernel_shape)
            n_wanted += counts.n_ones(size, sparsities[path])
        size = sum(map(math.prod, kernel_shapes.values()))
        too_many = n_active > _FACTOR * n_wanted
        if too_many or abs(n_active - n_wanted) > _TOLERANCE * size:
            raise ValueError(
                f"Masks of the pattern {self} come only near the sparsity that "
                f"is asked for, {1 - n_wanted / size:.3f}: their units and "
                f"groups leave {1 - n_active / size:.3f}. Ask for that, or "
                "choose another `pattern`"
            )

    def check_mask(self, path, mask, kernel_shape):
        """Raise ValueError unless an array is a mask of this pattern.

        Args:
            path: structural path of the kernel, for the message.
            mask: array of zeros and ones.
            kernel_shape: shape that it must have.
        """
        if np.shape(mask) != kernel_shape:
            raise ValueError(
                f"The mask of {path!r} must have shape {kernel_shape}. "
                f"Received: {np.shape(mask)}"
            )
        active = tf.cast(np.asarray(mask, bool), tf.float32)
        counts = self.counts(active)
        whole_units = np.array_equal(self.top(active, counts), active)
        if not whole_units or not self.allows(counts.numpy()):
            raise ValueError(
                f"The mask of {path!r} must have the pattern {self} "
                "(PATTERN). Received: one of another pattern"
            )

    def n_units(self, kernel_shape, sparsity):
        """Return the number of active units of each group: `n - floor(s n)`."""
        return counts.n_ones(self.n_members(kernel_shape), sparsity)

    def n_active(self, kernel_shape, sparsity):
        """Return the number of active weights of a fresh mask.

        Exact, except where units differ in size (`Block` at a border): then
        its expectation, rounded.
        """
        n_units = self.n_units(kernel_shape, sparsity)
        size, n_members = math.prod(kernel_shape), self.n_members(kernel_shape)
        return round(size * n_units / n_members)

    def allows(self, counts):
        """Say whether groups may have so many active units (array)."""
        # A neuron may have lost all inputs, and a group all weights.
        return len(set(counts[counts > 0])) <= 1

    def top(self, scores, n_units, mask=None):
        """Keep the units with the largest scores, so many in each group.

        Args:
            scores: floating-point tensor shaped like the kernel.
            n_units: int, scalar or [groups] integer tensor.
            mask: optional mask of this pattern; nothing outside of it is kept.

        Returns:
            float32 mask.
        """
        units = self.pool(scores)
        eligible = None if mask is None else self.rows(self._active(mask))
        kept = selection.largest_in_rows(self.rows(units), n_units, eligible)
        if eligible is not None:
            kept &= eligible
        return self._mask(self.from_rows(kept, units.shape), scores.shape)

    def drop(self, mask, scores, drop_fraction):
        """Drop the weakest active units of one kernel.

        Of the n active units the `n_prune = trunc(n * drop_fraction)` with the
        smallest scores (RigL paper, Algorithm 1).

        Args:
            mask: tensor of zeros and ones, of this pattern; any dtype.
            scores: tensor like `mask`; large keeps. Inactive units never
                compete, so active weights of exactly zero outrank them.
            drop_fraction: fraction of active units to drop, clipped to [0, 1],
                as float or scalar tensor.

        Returns:
            float32 mask of the rest.
        """
        active = self._active(mask)
        n_active = tf.reduce_sum(tf.cast(active, tf.int32))
        # float32 on purpose: the original truncates the float32 product.
        fraction = tf.clip_by_value(tf.cast(drop_fraction, tf.float32), 0, 1)
        n_prune = tf.cast(tf.cast(n_active, tf.float32) * fraction, tf.int32)
        n_prune = tf.minimum(n_prune, n_active)
        kept = selection.largest(self.pool(scores), n_active - n_prune, active)
        return self._mask(kept, mask.shape)

    def grow(self, mask, kept, scores, n_units):
        """Grow the best units outside the kept set, so many in each group.

        A unit that was just dropped may return.

        Args:
            mask: mask before the update.
            kept: what `drop` left of it.
            scores: tensor like `mask`; large grows.
            n_units: scalar or [groups] integer tensor.

        Returns:
            `(new_mask, grown)`: the mask in float32 and a boolean tensor of
            the connections that were inactive before.
        """
        kept, units = self._active(kept), self.pool(scores)
        added = selection.largest_in_rows(
            self.rows(units), n_units, self.rows(~kept)
        )
        added = self.from_rows(added, units.shape)
        new = self._mask(kept | added, mask.shape)
        return new, (new > 0) & ~tf.cast(mask, tf.bool)

    def counts(self, mask):
        """Count the active units of each group: int32 tensor [groups]."""
        rows = self.rows(self._active(mask))
        return tf.reduce_sum(tf.cast(rows, tf.int32), axis=1)

    def _active(self, mask):
        """Return the active units of a mask, boolean."""
        return self.pool(tf.cast(mask, tf.float32)) > 0

    def _mask(self, units, kernel_shape):
        return tf.cast(self.spread(units, kernel_shape), tf.float32)
