"""The base class of all sparsity patterns."""

import abc
from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import ClassVar
from typing import Self

import numpy as np
import tensorflow as tf

from rigl_tf.masks import counts
from rigl_tf.masks import selection
from rigl_tf.masks import shuffles

# Whole units and counts per group cannot meet every sparsity. How far masks may
# miss the overall sparsity, and how many times the wanted weights they have:
_TOLERANCE = 0.05
_FACTOR = 2.0


class Pattern(abc.ABC):
    """Base class of all patterns; a unit is one weight unless overridden.

    Kernels are arrays of rank 2 or more whose last axis is that of the output
    units, and the one before it that of the input units. (`sparsify` refuses
    layers with other kernels.) Models are saved with the name of a pattern, so
    a pattern of your own can be trained, but not restored from a file.

    Attributes:
        names: the names that `parse` knows, in quotes, for messages.
    """

    names: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def parse(cls, text: str) -> Self | None:
        """Return the pattern with this name, or None for other names.

        Args:
            text: name of a pattern, e.g. "2:4", in the form that `str` returns.
        """

    def left(
        self, kernel_shape: Sequence[int], sparsity: tf.Tensor
    ) -> tf.Tensor:
        """Count the active units of each group after pruning.

        `n - floor(s n)`, as in a fresh mask, for a traced sparsity.

        Args:
            kernel_shape: shape of the kernel.
            sparsity: scalar float tensor.

        Returns:
            A scalar int32 tensor, at least 1.
        """
        n_members = self.n_members(kernel_shape)
        zeros = tf.cast(sparsity, tf.float64) * n_members
        # Rounding errors may place an integer product just below it.
        zeros = tf.cast(tf.floor(zeros + 1e-6), tf.int32)
        return tf.maximum(n_members - zeros, 1)

    def check(
        self, path: str, kernel_shape: Sequence[int], sparsity: float
    ) -> None:
        """Raise ValueError if a kernel cannot have masks of this pattern.

        Args:
            path: structural path of the kernel, used in the error message.
            kernel_shape: shape of the kernel.
            sparsity: target sparsity of the kernel.
        """
        del path, kernel_shape, sparsity

    def pool(self, values: tf.Tensor) -> tf.Tensor:
        """Return the score of each unit from the scores of its weights."""
        return values

    def spread(
        self, units: tf.Tensor, kernel_shape: Sequence[int]
    ) -> tf.Tensor:
        """Return for each weight the value of its unit."""
        del kernel_shape
        return units

    @abc.abstractmethod
    def rows(self, units: tf.Tensor) -> tf.Tensor:
        """Arrange units as [groups, members], members by their flat index."""

    @abc.abstractmethod
    def from_rows(
        self, rows: tf.Tensor, unit_shape: Sequence[int]
    ) -> tf.Tensor:
        """Undo `rows` for units in an array of shape `unit_shape`."""

    @abc.abstractmethod
    def n_members(self, kernel_shape: Sequence[int]) -> int:
        """Return the number of units in a group."""

    # The methods below are the same for all patterns.

    def check_sparsities(
        self,
        kernel_shapes: Mapping[str, Sequence[int]],
        sparsities: Mapping[str, float],
    ) -> None:
        """Raise ValueError if masks of this pattern miss the overall sparsity.

        Args:
            kernel_shapes: dictionary from the path of a kernel to its shape.
            sparsities: dictionary from the path of a kernel to its sparsity.
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
                f"Masks of the pattern {self} come only near the requested "
                f"sparsity {1 - n_wanted / size:.3f}: their units and groups "
                f"give {1 - n_active / size:.3f}. Request that sparsity, or "
                "choose another `pattern`"
            )

    def check_mask(
        self,
        path: str,
        mask: np.ndarray | tf.Tensor,
        kernel_shape: Sequence[int],
    ) -> None:
        """Raise ValueError unless an array is a mask of this pattern.

        Args:
            path: structural path of the kernel, used in the error message.
            mask: array of zeros and ones.
            kernel_shape: the required shape.
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

    def n_units(self, kernel_shape: Sequence[int], sparsity: float) -> int:
        """Return the number of active units of each group: `n - floor(s n)`."""
        return counts.n_ones(self.n_members(kernel_shape), sparsity)

    def n_active(self, kernel_shape: Sequence[int], sparsity: float) -> int:
        """Return the number of active weights of a fresh mask.

        Exact unless units differ in size (`Block` at a border); then the
        rounded expectation.
        """
        n_units = self.n_units(kernel_shape, sparsity)
        size, n_members = math.prod(kernel_shape), self.n_members(kernel_shape)
        return round(size * n_units / n_members)

    def allows(self, counts: np.ndarray) -> bool:
        """Return whether masks may have these counts of units per group."""
        # A group may be empty: a neuron can lose all of its inputs.
        return len(set(counts[counts > 0])) <= 1

    def top(
        self,
        scores: tf.Tensor,
        n_units: int | tf.Tensor,
        mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Keep the units with the largest scores in each group.

        Args:
            scores: floating-point tensor shaped like the kernel.
            n_units: number of units to keep in each group: int, scalar or
                [groups] integer tensor.
            mask: optional mask of this pattern; weights outside of it are not
                kept.

        Returns:
            A float32 mask.
        """
        units = self.pool(scores)
        eligible = None if mask is None else self.rows(self._active(mask))
        kept = selection.largest_in_rows(self.rows(units), n_units, eligible)
        if eligible is not None:
            kept &= eligible
        return self._mask(self.from_rows(kept, units.shape), scores.shape)

    def drop(
        self,
        mask: tf.Tensor,
        scores: tf.Tensor,
        drop_fraction: float | tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Drop the weakest active units of one kernel.

        Of the n active units, the `n_prune = trunc(n * drop_fraction)` with the
        smallest scores are dropped (RigL paper, Algorithm 1).

        Args:
            mask: tensor of zeros and ones, of this pattern; any dtype.
            scores: tensor shaped like `mask`; units with large scores are kept.
                Inactive units never compete, so active weights of exactly zero
                outrank them.
            drop_fraction: fraction of active units to drop, clipped to [0, 1],
                a float or scalar tensor.

        Returns:
            `(kept, n_dropped)`: a boolean tensor of the remaining weights, and
            how many units each group has lost, int32 [groups].
        """
        active = self._active(mask)
        counts = selection.count(self.rows(active))[:, 0]
        n_active = tf.reduce_sum(counts)
        # The original code truncates the product in float32.
        fraction = tf.clip_by_value(tf.cast(drop_fraction, tf.float32), 0, 1)
        n_prune = tf.cast(tf.cast(n_active, tf.float32) * fraction, tf.int32)
        n_prune = tf.minimum(n_prune, n_active)
        kept = selection.largest(self.pool(scores), n_active - n_prune, active)
        n_dropped = counts - selection.count(self.rows(kept))[:, 0]
        return self.spread(kept, mask.shape), n_dropped

    def grow(
        self,
        mask: tf.Tensor,
        kept: tf.Tensor,
        scores: tf.Tensor,
        n_units: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Grow the best units outside of the kept set, a number in each group.

        A unit that was just dropped may return.

        Args:
            mask: mask before the update.
            kept: what `drop` returned.
            scores: tensor shaped like `mask`; units with large scores are
                grown.
            n_units: number of units to grow in each group, scalar or [groups]
                integer tensor.

        Returns:
            `(new_mask, grown)`: boolean tensors of the active connections, and
            of those that were inactive before.
        """
        kept, units = self._active(kept), self.pool(scores)
        added = selection.largest_in_rows(
            self.rows(units), n_units, self.rows(~kept)
        )
        added = self.from_rows(added, units.shape)
        new = self.spread(kept | added, mask.shape)
        return new, new & ~tf.cast(mask, tf.bool)

    def sample_free(
        self, kept: tf.Tensor, n_units: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """Draw units outside of the kept set at random, some in each group.

        Args:
            kept: what `drop` returned.
            n_units: number of units to draw in each group, scalar or [groups]
                integer tensor; fewer where fewer are free.
            seed: `[2]` integer seed of the draw.

        Returns:
            A boolean tensor of the weights of the drawn units.
        """
        free = ~self._active(kept)
        size = math.prod(free.shape)
        places = shuffles.shuffle(size, seed).places(
            tf.range(size, dtype=tf.int64)
        )
        places = tf.reshape(tf.cast(places, tf.float64), free.shape)
        drawn = selection.largest_in_rows(
            self.rows(-places), n_units, self.rows(free)
        )
        drawn = self.from_rows(drawn & self.rows(free), free.shape)
        return self.spread(drawn, kept.shape)

    def counts(self, mask: tf.Tensor) -> tf.Tensor:
        """Count the active units of each group: int32 tensor [groups]."""
        return selection.count(self.rows(self._active(mask)))[:, 0]

    def _active(self, mask):
        """Return the active units of a mask as booleans."""
        return self.pool(tf.cast(mask, tf.float32)) > 0

    def _mask(self, units, kernel_shape):
        return tf.cast(self.spread(units, kernel_shape), tf.float32)
