"""Apply a `SparseChange` to connections, weights and optimizer slots."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.layers import sparse_kernels
from rigl_tf.sparse import candidates
from rigl_tf.sparse import structures
from rigl_tf.training import optimizer_slots


def gathered(
    pair: updaters.Pair, strategy: tf.distribute.Strategy, scale: tf.Tensor
) -> updaters.Pair:
    """Return the pair of all replicas, without the scale of the loss.

    Their dense gradients are added up, so batches follow each other; what is
    sent is proportional to inputs and outputs, never to their product.

    Args:
        pair: inputs and output gradients of this replica, or None.
        strategy: the strategy under which the replica runs.
        scale: factor by which the loss was scaled.
    """
    if pair is None:
        return None
    x, dy = pair
    dy /= tf.cast(scale, dy.dtype)
    if strategy.num_replicas_in_sync > 1:
        context = tf.distribute.get_replica_context()
        x, dy = context.all_gather([tf.identity(x), tf.identity(dy)], 0)
    return x, dy


def report(
    decided: Sequence[updaters.SparseChange],
    kernels: Sequence[sparse_kernels.SparseKernel],
    pairs: Sequence[updaters.Pair],
    finite: tf.Tensor,
) -> list[list[tf.Tensor]]:
    """Return rows as `mask_changes.report`, one for each kernel.

    Args:
        decided: list of `updaters.SparseChange`.
        kernels: list of the kernels, before the change.
        pairs: list of pairs, or of None.
        finite: scalar boolean tensor: whether the changes are carried out.
    """
    rows = []
    for change, kernel, pair in zip(decided, kernels, pairs):
        fresh = _sources(kernel.layer.structure.positions(), change.grown) < 0
        fresh = tf.cast(fresh & finite, tf.float32)
        norm = tf.constant(0.0)
        if pair is not None:
            norms = change.scores
            if kernel.block > 1:
                blocks = candidates.gradients(*pair, change.grown, kernel.block)
                norms = tf.norm(blocks, axis=[1, 2])
            norm = tf.norm(tf.math.multiply_no_nan(norms, fresh))
        rows.append([tf.reduce_sum(fresh) * kernel.block**2, norm])
    return rows


def apply(
    kernel: sparse_kernels.SparseKernel,
    slots: Sequence[optimizer_slots.Slot],
    change: updaters.SparseChange,
    finite: tf.Tensor,
) -> None:
    """Assign connections, weights and slots of one kernel, if all is finite.

    Args:
        kernel: `sparse_kernels.SparseKernel`.
        slots: its list of `optimizer_slots.Slot`.
        change: its `updaters.SparseChange`.
        finite: as in `report`.
    """
    layer = kernel.layer
    before = layer.structure.positions()
    after = tf.sort(
        tf.concat([tf.boolean_mask(before, change.kept), change.grown], 0)
    )
    after = tf.where(finite, tf.ensure_shape(after, before.shape), before)
    sources = _sources(before, after)
    taken, weights = tf.maximum(sources, 0), layer.values.value
    # Of single weights [nnz], or of blocks [n, 1, 1].
    fresh = tf.reshape(sources < 0, [-1] + [1] * (len(weights.shape) - 1))
    weights = tf.where(fresh, tf.zeros_like(weights), tf.gather(weights, taken))
    for slot in slots:
        value = slot.variable.value
        reset = slot.initial_values(weights)
        slot.variable.assign(tf.where(fresh, reset, tf.gather(value, taken)))
    layer.values.assign(weights)
    _reconnect(kernel, after)


def _reconnect(kernel, positions):
    """Assign positions of the right number and order."""
    variables = kernel.layer.structure_variables
    arrays = tf.numpy_function(
        lambda flat: structures.arrays_of(flat, kernel.grid),
        [positions],
        [np.dtype(variable.dtype) for variable in variables],
        stateful=False,
    )
    for variable, array in zip(variables, arrays):
        variable.assign(tf.ensure_shape(array, variable.shape))


def _sources(before, positions):
    """Return the places of positions among those of before, or -1."""
    at = tf.searchsorted(before, positions, out_type=tf.int64)
    at = tf.minimum(at, tf.size(before, tf.int64) - 1)
    return tf.where(tf.gather(before, at) == positions, at, -1)
