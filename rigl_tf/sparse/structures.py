"""Positions of connections, by rows and by columns."""

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Structure:
    """Where the connections of a kernel [n_in, n_out] are, as tensors.

    Connections are numbered in ascending flat positions `row * n_out + column`.

    Attributes:
        row_starts: int64 [n_in + 1]; row i has the connections `row_starts[i]`
            to `row_starts[i + 1]`.
        columns: int32 [nnz], output of each connection.
        column_starts: int64 [n_out + 1], the same by columns.
        rows: int32 [nnz], inputs, by columns.
        order: int32 [nnz], by columns: the number of each connection.
    """

    row_starts: tf.Tensor
    columns: tf.Tensor
    column_starts: tf.Tensor
    rows: tf.Tensor
    order: tf.Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Number of inputs and outputs."""
        return self.row_starts.shape[0] - 1, self.column_starts.shape[0] - 1

    def positions(self) -> tf.Tensor:
        """Return the flat positions, ascending, int64 [nnz]."""
        n_in, n_out = self.shape
        counts = self.row_starts[1:] - self.row_starts[:-1]
        rows = tf.repeat(tf.range(n_in, dtype=tf.int64), counts)
        flat = rows * n_out + tf.cast(self.columns, tf.int64)
        return tf.ensure_shape(flat, self.columns.shape)


def structure_of(positions: np.ndarray, shape: tuple[int, int]) -> Structure:
    """Return the structure of given positions. See `arrays_of`."""
    return Structure(*map(tf.constant, arrays_of(positions, shape)))


def arrays_of(
    positions: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, ...]:
    """Return the five arrays of a `Structure`, in its order.

    Args:
        positions: ascending flat positions, int64 [nnz].
        shape: numbers of inputs and outputs.
    """
    n_in, n_out = shape
    rows, columns = np.divmod(positions, n_out)
    order = np.argsort(columns, kind="stable").astype(np.int32)
    return (
        _starts(rows, n_in),
        columns.astype(np.int32),
        _starts(columns, n_out),
        rows.astype(np.int32)[order],
        order,
    )


def _starts(indices, n):
    starts = np.zeros(n + 1, np.int64)
    np.cumsum(np.bincount(indices, minlength=n), out=starts[1:])
    return starts


def require_positions(
    positions: np.ndarray, shape: tuple[int, int], n_active: int
) -> np.ndarray:
    """Return positions as int64; raise ValueError if a layer cannot have them.

    Args:
        positions: flat positions `row * n_out + column`.
        shape: numbers of inputs and outputs.
        n_active: how many there must be.
    """
    flat = np.asarray(positions)
    if flat.shape != (n_active,) or flat.dtype.kind not in "iu":
        raise ValueError(
            f"`positions` must be {n_active} integers. Received: an array of "
            f"shape {flat.shape} and type {flat.dtype}"
        )
    flat = flat.astype(np.int64)
    size = shape[0] * shape[1]
    if n_active and not (0 <= flat.min() and flat.max() < size):
        outside = flat[(flat < 0) | (flat >= size)][0]
        raise ValueError(
            f"`positions` must be in [0, {size}) for a kernel of shape "
            f"{shape}. Received: {outside}"
        )
    wrong = np.flatnonzero(np.diff(flat) <= 0)
    if wrong.size:
        a, b = flat[wrong[0] : wrong[0] + 2]
        raise ValueError(
            "`positions` must be ascending, each once: `np.unique` makes them "
            f"so. Received: {a}, then {b}"
        )
    return flat
