"""Candidates for growth: a few free positions, and the dense gradient there.

Time and memory are proportional to the candidates and to the batch, not to the
kernel.
"""

import tensorflow as tf

from rigl_tf.masks import shuffles
from rigl_tf.sparse import backends


def draw(
    size: int, kept: tf.Tensor, k: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Draw positions outside of a kept set, each once.

    They are those that `patterns.Pattern.sample_free` draws from the same seed.

    Args:
        size: number of positions.
        kept: ascending positions that do not take part, int64.
        k: how many to draw, scalar int64 tensor; fewer if fewer are free.
        seed: `[2]` integer seed of the draw.

    Returns:
        ascending positions, int64 [k].
    """
    # Of so many places, k are free even if all kept positions are among them.
    n_places = tf.minimum(k + tf.size(kept, tf.int64), size)
    shuffle = shuffles.shuffle(size, seed)
    positions = shuffle.positions(tf.range(n_places))
    before = tf.searchsorted(kept, positions, out_type=tf.int64)
    upto = tf.searchsorted(kept, positions, side="right", out_type=tf.int64)
    return tf.sort(tf.boolean_mask(positions, before == upto)[:k])


def gradients(
    x: tf.Tensor, dy: tf.Tensor, positions: tf.Tensor, block: int = 1
) -> tf.Tensor:
    """Return the dense gradient `x^T dy` at some positions.

    `g[i, j] = sum_b x[b, i] dy[b, j]`.

    Args:
        x: inputs [batch, n_in].
        dy: gradients of the outputs [batch, n_out].
        positions: ascending positions, int64 [n]; of blocks, in their grid.
        block: inputs and outputs of what a position stands for.

    Returns:
        float32 tensor [n], or [n, block, block].
    """
    n_rows, n_columns = x.shape[1] // block, dy.shape[1] // block
    if block > 1:
        places = (positions // n_columns, positions % n_columns)
        parts = []
        for tensor, index in zip((x, dy), places):
            cut = tf.reshape(tensor, [tf.shape(tensor)[0], -1, block])
            parts.append(tf.gather(tf.transpose(cut, [1, 0, 2]), index))
        return tf.matmul(*parts, transpose_a=True)
    kernels = backends.available().kernels
    ends = tf.range(n_rows + 1, dtype=tf.int64) * n_columns
    return kernels.sample(
        *(kernels.hold(x), kernels.hold(dy), tf.shape(x, tf.int64)[0]),
        tf.searchsorted(positions, ends, out_type=tf.int64),
        tf.cast(positions % n_columns, tf.int32),
    )
