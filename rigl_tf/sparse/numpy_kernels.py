"""Products and searches by SciPy and NumPy, where nothing can be compiled.

Memory is proportional to connections and batch, as with the native operations;
only the speed differs. The functions take and return tensors.
"""

import typing

import numpy as np
from scipy import sparse
import tensorflow as tf

# Products of x and dy that are gathered at a time.
_AT_A_TIME = 1 << 22


def hold(x: tf.Tensor) -> tf.Tensor:
    """Return a batch as `multiply` and `sample` take it.

    Args:
        x: float32 tensor [batch, n].
    """
    return x


def multiply(
    held: tf.Tensor,
    batch: tf.Tensor,
    values: tf.Tensor,
    starts: tf.Tensor,
    indices: tf.Tensor,
    order: tf.Tensor | None,
) -> tf.Tensor:
    """Multiply a batch with the transpose of a sparse matrix.

    Args:
        held: what `hold` returned, of a batch [batch, n_columns].
        batch: number of examples, scalar int64 tensor.
        values: float32 tensor [nnz].
        starts: int64 tensor [n_rows + 1]: entries of row r are `starts[r]` to
            `starts[r + 1]`.
        indices: int32 tensor [nnz], their columns.
        order: int32 tensor [nnz], places of their values; None for 0, 1, ...

    Returns:
        float32 tensor [batch, n_rows].
    """
    del batch
    if order is not None:
        values = tf.gather(values, order)

    def product(x, values, starts, indices):
        shape = (len(starts) - 1, x.shape[1])
        matrix = sparse.csr_matrix((values, indices, starts), shape=shape)
        return np.ascontiguousarray((matrix @ x.T).T, np.float32)

    arguments = [held, values, starts, indices]
    result = tf.numpy_function(product, arguments, tf.float32, stateful=False)
    n_rows = None if starts.shape[0] is None else starts.shape[0] - 1
    return tf.ensure_shape(result, [None, n_rows])


def sample(
    held_x: tf.Tensor,
    held_dy: tf.Tensor,
    batch: tf.Tensor,
    starts: tf.Tensor,
    indices: tf.Tensor,
) -> tf.Tensor:
    """Return the entries of `x^T dy` at the positions of a sparse matrix.

    Args:
        held_x: what `hold` returned, of x [batch, n_rows].
        held_dy: the same of dy [batch, n_columns].
        batch: number of examples, scalar int64 tensor.
        starts: int64 tensor [n_rows + 1], see `multiply`.
        indices: int32 tensor [nnz], columns.

    Returns:
        float32 tensor [nnz].
    """

    def products(x, dy, batch, starts, indices):
        x, dy = np.ascontiguousarray(x.T), np.ascontiguousarray(dy.T)
        rows = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        found = np.empty(len(indices), np.float32)
        n = max(1, _AT_A_TIME // max(1, int(batch)))
        for first in range(0, len(indices), n):
            part = slice(first, first + n)
            pairs = x[rows[part]], dy[indices[part]]
            found[part] = np.einsum("kb,kb->k", *pairs)
        return found

    arguments = [held_x, held_dy, batch, starts, indices]
    result = tf.numpy_function(products, arguments, tf.float32, stateful=False)
    return tf.ensure_shape(result, indices.shape)


def collect(*arguments: tf.Tensor) -> list[tf.Tensor]:
    """Add the scores of a tile to the best so far.

    Args:
        *arguments: tile [rows, columns] of scores, without infinities; row and
            column of its corner; `width` of the whole matrix; `starts` and
            `indices` of positions that are left out; k; whether this was the
            last tile; then the state: scores and positions [capacity], their
            number, and the score that one must reach to be among the best.

    Returns:
        the state; after the last tile, the k best in ascending positions. Of
        equal scores, those of lower positions are better; NaN is best of all.
    """
    kinds = [tf.float32, tf.int64, tf.int64, tf.float32]
    state = tf.numpy_function(_collect, arguments, kinds, stateful=False)
    for tensor, given in zip(state, arguments[8:]):
        tensor.set_shape(given.shape)
    return list(state)


def _collect(
    tile, row, column, width, starts, indices, k, is_last, *state
) -> tuple[typing.Any, ...]:
    scores, positions, n, threshold = state
    rows, columns = np.nonzero(~(tile < threshold))
    found = tile[rows, columns]
    at = (rows + row) * width + columns + column
    kept = _positions(starts, indices, row, row + len(tile), width)
    free = ~np.isin(at, kept, assume_unique=True)
    all_scores = np.concatenate([scores[:n], found[free]])
    all_positions = np.concatenate([positions[:n], at[free]])
    if k == 0 or len(all_scores) > len(scores) or is_last:
        best = _best(all_scores, all_positions, k)
        all_scores, all_positions = all_scores[best], all_positions[best]
        if 0 < k == len(best):
            threshold = np.fmin.reduce(all_scores)
    n = len(all_scores)
    scores, positions = scores.copy(), positions.copy()
    scores[:n], positions[:n] = all_scores, all_positions
    return scores, positions, np.int64(n), np.float32(threshold)


def _positions(starts, indices, first, last, width):
    """Return the flat positions of rows `first` to `last`."""
    entries = slice(starts[first], starts[last])
    n_entries = np.diff(starts[first : last + 1])
    rows = np.repeat(np.arange(first, last), n_entries)
    return rows * width + indices[entries]


def _best(scores, positions, k):
    """Return the indices of the k best pairs, in ascending positions."""
    keys = np.where(np.isnan(scores), np.inf, scores)
    order = np.lexsort((positions, -keys))[:k]
    return order[np.argsort(positions[order])]
