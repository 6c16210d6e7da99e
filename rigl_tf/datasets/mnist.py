"""MNIST from tensorflow_datasets."""

import functools
import os

import tensorflow as tf

from rigl_tf.datasets import arrays
from rigl_tf.datasets import tfds_source


def mnist(data_dir: str | os.PathLike | None = None) -> arrays.ArrayDataset:
    """Return MNIST: 60,000 images to train, 10,000 to test.

    Pixels lie in [0, 1]; there is no other preprocessing, as in the original
    code.

    Args:
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.

    Returns:
        An `ArrayDataset` with inputs [examples, 28, 28, 1]. Reading it raises
        FileNotFoundError if the data set is not prepared.
    """
    read = functools.partial(tfds_source.image_splits, "mnist", data_dir)
    return arrays.ArrayDataset("mnist", (28, 28, 1), 10, read, _to_fractions)


def _to_fractions(images):
    return tf.cast(images, tf.float32) / 255
