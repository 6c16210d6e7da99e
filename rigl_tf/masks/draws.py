"""Random numbers that depend on a seed and a name alone."""

import zlib

import tensorflow as tf


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
