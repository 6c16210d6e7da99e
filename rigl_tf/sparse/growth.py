"""The largest scores of a kernel, found tile by tile.

A kernel [n_in, n_out] of scores is never stored: its tiles are computed, and of
each only the scores that may be among the largest are kept. What is found is
what a ranking of all scores finds, ties included; memory is proportional to the
number wanted and to one tile.
"""

from collections.abc import Callable
import math

import numpy as np
import tensorflow as tf

from rigl_tf.masks import draws
from rigl_tf.sparse import backends
from rigl_tf.sparse import blocks
from rigl_tf.sparse import random_positions

# A tile of 1024 x 1024 is large enough for fast products.
_SIDE = 1024
_TILE = _SIDE * _SIDE
_SMALLEST_BUFFER = 65536
# Above, scores are no longer drawn for each position: no masked kernel is
# as large, so there is nothing to agree with.
_MOST_DRAWS = 2**31

# Function of the first row and column of a tile, the last (exclusive).
Tiles = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def of_products(x: tf.Tensor, dy: tf.Tensor, block: int = 1) -> Tiles:
    """Return the tiles of `|x^T dy|`: magnitudes of a dense gradient.

    Args:
        x: inputs [batch, n_in].
        dy: gradients of the outputs [batch, n_out].
        block: tiles are those of the sums over blocks of this size.
    """

    def tile(row, column, last_row, last_column):
        left = x[:, row * block : last_row * block]
        right = dy[:, column * block : last_column * block]
        scores = tf.abs(tf.matmul(left, right, transpose_a=True))
        return scores if block == 1 else blocks.pooled(scores, block)

    return tile


def of_draws(n_out: int, seed: tf.Tensor, block: int = 1) -> Tiles:
    """Return the tiles of `masks.draws.uniform_scores`, the same numbers.

    Args:
        n_out: width of the kernel; tiles must be as wide.
        seed: `[2]` integer seed.
        block: tiles are those of the sums over blocks of this size.
    """
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)

    def tile(row, column, last_row, last_column):
        del column, last_column
        # Philox makes four numbers for each value of the counter.
        first = tf.cast(row * block * n_out // 4, tf.uint64)
        bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
            shape=tf.stack([(last_row - row) * block, n_out]),
            key=key,
            counter=counter + tf.stack([first, tf.zeros_like(first)]),
            alg=1,
            dtype=tf.uint32,
        )
        scores = draws.fractions_of(bits)
        return scores if block == 1 else blocks.pooled(scores, block)

    return tile


def tile_shape(
    shape: tuple[int, int], full_width: bool = False, block: int = 1
) -> tuple[int, int]:
    """Return rows and columns of a tile.

    Args:
        shape: numbers of inputs and outputs, or of rows and columns of blocks.
        full_width: whether tiles must be as wide as the kernel; then their
            rows are a multiple of four.
        block: inputs and outputs of a block.
    """
    n_in, n_out = shape
    n_scores = _TILE // block**2
    if full_width:
        return max(4, n_scores // n_out // 4 * 4), n_out
    columns = min(n_out, _SIDE // block)
    return max(1, min(n_in, n_scores // columns)), columns


def largest(
    tiles: Tiles,
    shape: tuple[int, int],
    kept: tf.Tensor,
    k: tf.Tensor,
    tile: tuple[int, int] | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the positions of the `k` largest scores outside of a kept set.

    Args:
        tiles: scores, see `of_products`.
        shape: numbers of inputs and outputs.
        kept: ascending flat positions that do not take part, int64.
        k: how many, scalar int64 tensor; at most as many as are not kept.
        tile: rows and columns of a tile, see `tile_shape`.

    Returns:
        `(positions, scores)` [k], in ascending positions. Of equal scores, the
        one with the lower position counts as larger. If a score is NaN, one of
        those returned is.
    """
    n_in, n_out = shape
    n_rows, n_columns = tile or tile_shape(shape)
    collect = backends.available().kernels.collect
    k = tf.cast(k, tf.int64)
    ends = tf.range(n_in + 1, dtype=tf.int64) * n_out
    starts = tf.searchsorted(kept, ends, out_type=tf.int64)
    indices = tf.cast(kept % n_out, tf.int32)
    across = -(-n_out // n_columns)
    n_tiles = -(-n_in // n_rows) * across
    constants = tf.constant(n_out, tf.int64), starts, indices, k

    def add(index, *state):
        row = index // across * n_rows
        column = index % across * n_columns
        last_row = tf.minimum(row + n_rows, n_in)
        last_column = tf.minimum(column + n_columns, n_out)
        scores = tiles(row, column, last_row, last_column)
        last = tf.equal(index, n_tiles - 1)
        return index + 1, *collect(
            *(scores, row, column, *constants, last, *state)
        )

    capacity = tf.maximum(2 * k, k + _SMALLEST_BUFFER)
    state = (
        tf.zeros([], tf.int64),
        tf.zeros([capacity], tf.float32),
        tf.zeros([capacity], tf.int64),
        tf.zeros([], tf.int64),
        tf.zeros([], tf.float32),
    )
    _, scores, positions, *_ = tf.while_loop(
        lambda index, *_: index < n_tiles,
        add,
        state,
        parallel_iterations=1,  # a tile at a time is in memory
    )
    return positions[:k], scores[:k]


def at_random(
    shape: tuple[int, int],
    kept: tf.Tensor,
    k: tf.Tensor,
    seed: tf.Tensor,
    block: int = 1,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return `k` random positions: those that a masked kernel would draw.

    Kernels of more than 2^31 weights are drawn by rejection.

    Args:
        shape: numbers of inputs and outputs of the kernel.
        kept: ascending positions that do not take part, int64.
        k: how many, scalar int64 tensor.
        seed: `[2]` integer seed of the draw.
        block: inputs and outputs of what a position stands for.

    Returns:
        `(positions, scores)`, in ascending positions.
    """
    grid = (shape[0] // block, shape[1] // block)
    if math.prod(shape) <= _MOST_DRAWS:
        tiles = of_draws(shape[1], seed, block)
        return largest(tiles, grid, kept, k, tile_shape(grid, True, block))

    def reject(kept, k, seed):
        sequence = np.random.SeedSequence(seed.view(np.uint32).tolist())
        size = math.prod(grid)
        return random_positions.outside(kept, size, int(k), sequence)

    positions = tf.numpy_function(reject, [kept, k, seed], tf.int64)
    positions = tf.ensure_shape(positions, [None])
    return positions, tf.zeros_like(positions, tf.float32)
