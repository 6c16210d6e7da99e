"""Generated examples of hundreds of thousands of classes."""

import functools

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import arrays

# Words of the seeds of teacher and examples.
_TEACHER, _TRAIN, _TEST = 1, 2, 3
_AT_A_TIME = 4096  # examples or classes whose draws are in memory


def extreme_labels(
    n_classes: int = 200_000,
    n_inputs: int = 512,
    fan_in: int = 5,
    n_train: int = 64_000,
    n_test: int = 2_048,
    noise: float = 0.01,
    head: float = 10.0,
) -> arrays.ArrayDataset:
    """Return examples of a sparse teacher: which inputs are on, for each class.

    The teacher connects each class with `fan_in` of the inputs, at random. An
    example has the inputs of its class at 1; each other input is 1 with the
    probability `noise`, else 0. The class of rank r, from 0, has a share of the
    examples that is proportional to `1 / (r + head)` (Zipf and Mandelbrot): few
    classes are frequent, most are rare, as among products or words.

    The examples are the same in every process; nothing is read.

    Args:
        n_classes: number of classes, at least 2.
        n_inputs: number of inputs.
        fan_in: inputs of each class, at least 1, at most `n_inputs`.
        n_train: number of training examples.
        n_test: number of test examples.
        noise: share of the other inputs that are on, in [0, 1).
        head: how many classes share the first rank, above 0.

    Returns:
        An `ArrayDataset` with inputs [examples, n_inputs].

    Raises:
        ValueError: a number is out of its range.
    """
    checks.at_least("n_classes", n_classes, 2, integer=True)
    checks.at_least("n_inputs", n_inputs, 1, integer=True)
    checks.between("fan_in", fan_in, 1, n_inputs, integer=True)
    checks.at_least("n_train", n_train, 1, integer=True)
    checks.at_least("n_test", n_test, 1, integer=True)
    checks.fraction("noise", noise, include_one=False)
    checks.above("head", head, 0)

    def read():
        inputs_of = teacher(n_classes, n_inputs, fan_in)
        split = functools.partial(_split, inputs_of, n_inputs, noise, head)
        return split(n_train, _TRAIN), split(n_test, _TEST)

    return arrays.ArrayDataset(
        "extreme_labels", (n_inputs,), n_classes, read, _as_floats
    )


def teacher(n_classes: int, n_inputs: int, fan_in: int) -> np.ndarray:
    """Return the inputs of each class: ascending, int32 [n_classes, fan_in].

    Args: as `extreme_labels`.
    """
    generator = np.random.default_rng([_TEACHER, n_classes, n_inputs])
    inputs = np.empty((n_classes, fan_in), np.int32)
    for first in range(0, n_classes, _AT_A_TIME):
        part = inputs[first : first + _AT_A_TIME]
        scores = generator.random((len(part), n_inputs), np.float32)
        chosen = np.argpartition(scores, fan_in - 1, axis=1)[:, :fan_in]
        part[:] = np.sort(chosen, axis=1)
    return inputs


def _split(inputs_of, n_inputs, noise, head, n_examples, word):
    """Draw labels, then inputs, as bytes."""
    n_classes = len(inputs_of)
    generator = np.random.default_rng([word, n_classes, n_inputs])
    shares = np.cumsum(1 / (np.arange(n_classes) + head))
    draws = generator.random(n_examples) * shares[-1]
    labels = np.minimum(np.searchsorted(shares, draws), n_classes - 1)
    inputs = np.empty((n_examples, n_inputs), np.uint8)
    for first in range(0, n_examples, _AT_A_TIME):
        part = inputs[first : first + _AT_A_TIME]
        part[:] = generator.random(part.shape, np.float32) < noise
    np.put_along_axis(inputs, inputs_of[labels], 1, axis=1)
    return arrays.Split(inputs, labels.astype(np.int32))


def _as_floats(inputs):
    return tf.cast(inputs, tf.float32)
