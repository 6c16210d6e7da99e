"""Exact mask selection: scores in, zeros and ones out.

Everything here is a pure function of tensors, traceable by `tf.function`, safe
under XLA (static shapes, counts may be traced) and independent of the device:
the same scores give the same mask, bit for bit. Equal scores are decided by
position: the lower flat index wins. `rigl_tf.shapes` builds masks of every
shape from these selections.
"""

import functools
import math
import zlib

import numpy as np
import tensorflow as tf

from rigl_tf import checks


def n_ones(size, sparsity, rounding="floor"):
    """Count the active weights of a fresh mask.

    `size - floor(sparsity * size)`, evaluated in float64 as the original code
    does. Float32 is off by one for common pairs: it finds 29 zeros for 0.29 of
    100, and `(1 - 0.8) * 235200` one connection too few.

    Args:
        size: number of weights of the kernel, at least 1.
        sparsity: fraction of zeros, in [0, 1).
        rounding: "floor" for the number of zeros (default) or "ceil", the rule
            with which the published model sizes were made.

    Returns:
        int, in [1, size] under "floor".
    """
    checks.fraction("sparsity", sparsity, include_one=False)
    checks.one_of("rounding", rounding, ("floor", "ceil"))
    round_zeros = math.floor if rounding == "floor" else math.ceil
    return size - round_zeros(float(sparsity) * size)


def sparsity_of(n_active, size):
    """Return a sparsity for which `n_ones` counts `n_active`.

    Args:
        n_active: in [1, size].
        size: number of weights.
    """
    sparsity = (size - n_active) / size
    # The product of size and a rounded quotient may lie below an integer.
    while n_ones(size, sparsity) > n_active:
        sparsity = math.nextafter(sparsity, 1.0)
    return sparsity


def stateless_seed(seed, path, purpose, step=0):
    """Derive the seed of one random draw: `[2]` int32.

    The seed depends on the run, the kernel, what the draw is for and the step,
    and on nothing else: every process, replica and resumed run draws the same
    numbers. (`hash()` would differ between processes.)

    Args:
        seed: seed of the run, int.
        path: structural path of the kernel.
        purpose: what the draw decides, e.g. "grow".
        step: optimizer steps completed, int or scalar integer tensor.
    """
    label = zlib.crc32(f"{seed}/{path}/{purpose}".encode()) & 0x7FFFFFFF
    return tf.stack([tf.constant(label, tf.int32), tf.cast(step, tf.int32)])


def uniform_scores(shape, seed):
    """Draw from [0, 1) with a `[2]` seed: multiples of 2**-24 in float32.

    Equal on every device: Philox bits are, while TensorFlow's and XLA's own
    ways from bits to floats differ.
    """
    bits = tf.random.stateless_uniform(
        shape, seed, None, None, tf.uint32, alg="philox"
    )
    return tf.cast(tf.bitwise.right_shift(bits, 8), tf.float32) * 2.0**-24


def normal_values(shape, seed):
    """Draw standard normal values with a `[2]` seed, alike on every device."""
    centred = uniform_scores(shape, seed) + 2.0**-25
    # The largest draw would round to 1, whose quantile is infinite.
    return tf.math.ndtri(tf.minimum(centred, 1 - 2.0**-24))


def largest(scores, k, eligible=None):
    """Mark the `k` largest scores.

    Args:
        scores: floating-point tensor of any shape; infinities are allowed.
        k: how many to mark, int or scalar integer tensor (may be traced).
        eligible: optional boolean tensor; other positions are marked only when
            fewer than `k` are eligible.

    Returns:
        boolean tensor shaped like `scores`, with exactly `min(k, size)` true
        ones. Of equal scores the lower flat index is marked.
    """
    flat = tf.reshape(scores, [-1])
    if eligible is not None:
        eligible = tf.reshape(eligible, [-1])
    chosen = _choose(flat, tf.cast(k, tf.int32), eligible)
    # A shape that is known stays so.
    known = scores.shape.is_fully_defined()
    return tf.reshape(chosen, scores.shape if known else tf.shape(scores))


def largest_in_rows(scores, k, eligible=None):
    """Mark the `k` largest scores of each row.

    Args:
        scores: floating-point tensor [rows, members].
        k: how many in each row: int, scalar or [rows] integer tensor.
        eligible: as in `largest`.

    Returns:
        boolean tensor shaped like `scores`.
    """
    if scores.shape[0] == 1:  # one ranking is faster than many
        return largest(scores, tf.reshape(k, []), eligible)
    k = tf.reshape(tf.cast(k, tf.int32), [-1, 1])
    return tf.ensure_shape(_choose(scores, k, eligible), scores.shape)


def global_top_k_masks(scores, k, eligible=None):
    """Mark the `k` largest scores of several kernels together.

    Args:
        scores: list of floating-point tensors of one dtype.
        k: how many to mark in all.
        eligible: optional list of boolean tensors; nothing else is marked.

    Returns:
        list of float32 masks, shaped like the scores. Ties go to the earlier
        kernel, then to the lower flat index.
    """
    flat = _concatenated(scores)
    if eligible is None:
        chosen = largest(flat, k)
    else:
        eligible = _concatenated(eligible)
        chosen = largest(flat, k, eligible) & eligible
    sizes = [math.prod(s.shape) for s in scores]
    parts = tf.split(tf.cast(chosen, tf.float32), sizes)
    return [tf.reshape(part, s.shape) for part, s in zip(parts, scores)]


def _concatenated(tensors):
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)


def _order_keys(scores, eligible):
    """Map scores to integers that sort alike; ineligible ones sort lowest.

    The bits of a float, read as an integer, sort like the float itself once
    the magnitude bits of negative numbers are inverted.
    """
    if scores.dtype != tf.float64:
        scores = tf.cast(scores, tf.float32)
    integer = tf.int64 if scores.dtype == tf.float64 else tf.int32
    scores = tf.where(scores == 0, tf.zeros_like(scores), scores)  # no -0.0
    bits = tf.bitcast(scores, integer)
    keys = tf.where(bits < 0, bits ^ integer.max, bits)
    if eligible is not None:
        keys = tf.where(eligible, keys, integer.min)
    return keys


def _choose(scores, k, eligible):
    """Mark the `k` largest scores of a vector, or of each row.

    Eagerly with NumPy: once per kernel, tracing would not pay. In a graph by a
    function of any length, which is traced, and optimized by TensorFlow, once
    for all kernels: inlined, it would be so for each.

    Args:
        scores: [members] with a scalar `k`, or [rows, members] with `k` as
            [rows, 1] or [1, 1].
        k: int32 tensor.
        eligible: boolean tensor like `scores`, or None.
    """
    if tf.executing_eagerly():
        keys = _order_keys(scores, eligible).numpy()
        return tf.constant(_mark_on_host(keys, k.numpy()))
    chooser = _chooser(scores.dtype, scores.shape.rank, eligible is not None)
    return chooser(scores, k, *([] if eligible is None else [eligible]))


@functools.cache
def _chooser(dtype, rank, some_eligible):
    def choose(scores, k, eligible=None):
        return _mark(_order_keys(scores, eligible), k)

    specs = [
        tf.TensorSpec([None] * rank, dtype),
        tf.TensorSpec([] if rank == 1 else [None, 1], tf.int32),
    ]
    if some_eligible:
        specs.append(tf.TensorSpec([None] * rank, tf.bool))
    return tf.function(
        choose,
        specs,
        autograph=False,
        experimental_attributes={"_noinline": True},
    )


def _mark_on_host(keys, k):
    """Do as `_mark`, with arrays."""
    n_members = keys.shape[-1]
    k = np.clip(k, 0, n_members)
    # Where the k-th largest would stand; of no members, the largest.
    place = np.minimum(n_members - k, n_members - 1)
    if np.ptp(place) == 0:
        place = place.flat[0]
        threshold = np.partition(keys, place)[..., place : place + 1]
    else:
        threshold = np.take_along_axis(np.sort(keys), place, -1)
    reached = keys >= threshold
    if np.array_equal(reached.sum(-1, keepdims=reached.ndim > 1), k):
        return reached
    above = keys > threshold
    tied = reached & ~above
    room = k - above.sum(-1, keepdims=above.ndim > 1)
    return above | (tied & (np.cumsum(tied, -1) <= room))


def _mark(keys, k):
    """Mark the `k` largest integer keys; of equals the lower index.

    Args:
        keys: [members] with a scalar `k`, or [rows, members] with `k` as
            [rows, 1] or [1, 1].
        k: int32 tensor.
    """
    threshold = _kth_largest(keys, k)
    reached = keys >= threshold
    # Cumulative sums cost as much as the whole search, and ties at the
    # threshold are rare: pay only when they matter.
    return tf.cond(
        tf.reduce_all(count(reached) == k),
        lambda: reached,
        lambda: _break_ties(keys, threshold, k),
    )


def _kth_largest(keys, k):
    """Find a threshold for the k largest keys, by bisection over its bits.

    One counting pass per bit instead of a sort: static shapes, a traced `k`,
    and 9 to 13 times less time than sorting on CPU. It ends early where a
    threshold separates exactly k keys from the others; otherwise it is the
    k-th largest key.
    """
    n_bits = 8 * keys.dtype.size
    one = tf.ones([], keys.dtype)

    def halve(i, low, found):
        # The first step adds 2**(n_bits - 1) to the lowest integer: zero.
        bit = tf.bitwise.left_shift(one, tf.cast(n_bits - 1 - i, keys.dtype))
        candidate = low + bit
        n_above = count(keys >= candidate)
        low = tf.where(found | (n_above < k), low, candidate)
        return [i + 1, low, found | (n_above == k)]

    lowest = tf.constant(keys.dtype.min, keys.dtype)
    if len(keys.shape) > 1:
        lowest = tf.fill([tf.shape(keys)[0], 1], lowest)
    _, threshold, _ = tf.while_loop(
        lambda i, _, found: (i < n_bits) & ~tf.reduce_all(found),
        halve,
        [tf.constant(0), lowest, tf.zeros_like(lowest, tf.bool)],
    )
    return threshold


def count(flags):
    """Count true flags, int32: of a vector, or of each row as [rows, 1]."""
    # `tf.math.count_nonzero` would pass over the data twice more.
    ones = tf.cast(flags, tf.int32)
    if len(ones.shape) < 2:
        return tf.reduce_sum(ones)
    return tf.reduce_sum(ones, axis=-1, keepdims=True)


def _break_ties(keys, threshold, k):
    above = keys > threshold
    tied = keys == threshold
    room = k - count(above)
    first = tf.cumsum(tf.cast(tied, tf.int32), axis=-1) <= room
    return above | (tied & first)
