"""Stateless random numbers, determined by a seed, a name and a step."""

from collections.abc import Sequence
import zlib

import tensorflow as tf


def stateless_seed(
    seed: int, path: str, purpose: str, step: int | tf.Tensor = 0
) -> tf.Tensor:
    """Derive the seed of one random draw: `[2]` int32.

    The seed depends only on the run, the kernel, the purpose of the draw and
    the step, so that every process, replica and resumed run draws the same
    numbers. (Python's `hash()` of strings would differ between processes.)

    Args:
        seed: seed of the run.
        path: structural path of the kernel.
        purpose: what the draw decides, e.g. "grow".
        step: completed optimizer steps, int or scalar integer tensor.
    """
    label = zlib.crc32(f"{seed}/{path}/{purpose}".encode()) & 0x7FFFFFFF
    return tf.stack([tf.constant(label, tf.int32), tf.cast(step, tf.int32)])


def uniform_scores(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Draw uniformly from [0, 1): multiples of 2**-24 in float32.

    The numbers are equal on every device: Philox bits are, whereas TensorFlow
    and XLA convert bits to floats differently.

    Args:
        shape: shape of the result.
        seed: `[2]` integer seed, see `stateless_seed`.
    """
    bits = tf.random.stateless_uniform(
        shape, seed, None, None, tf.uint32, alg="philox"
    )
    return fractions_of(bits)


def fractions_of(bits: tf.Tensor) -> tf.Tensor:
    """Return uint32 bits as multiples of 2**-24 in [0, 1), in float32."""
    return tf.cast(tf.bitwise.right_shift(bits, 8), tf.float32) * 2.0**-24


def normal_values(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Draw standard normal values, equal on every device, in float32.

    Args:
        shape: shape of the result.
        seed: `[2]` integer seed, see `stateless_seed`.
    """
    centered = uniform_scores(shape, seed) + 2.0**-25
    # The largest value would round to 1, whose quantile is infinite.
    return tf.math.ndtri(tf.minimum(centered, 1 - 2.0**-24))
