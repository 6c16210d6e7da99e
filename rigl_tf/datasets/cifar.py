"""CIFAR-10 and CIFAR-100 through tensorflow_datasets."""

import functools

import numpy as np

from rigl_tf.datasets import arrays
from rigl_tf.datasets import prepared


def cifar10(data_dir=None):
    """Return CIFAR-10: 50,000 images to train, 10,000 to test.

    Every image is standardised: its mean is subtracted, then it is divided by
    its deviation. No augmentation.

    Args:
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.

    Returns:
        `ArrayDataset` with inputs [examples, 32, 32, 3]; reading them raises
        FileNotFoundError if the data set is not prepared.
    """
    return _cifar("cifar10", 10, data_dir)


def cifar100(data_dir=None):
    """Return CIFAR-100, preprocessed as `cifar10`.

    Args and Returns: as `cifar10`.
    """
    return _cifar("cifar100", 100, data_dir)


def _cifar(name, n_classes, data_dir):
    read = functools.partial(
        prepared.image_splits, name, data_dir, _standardised
    )
    return arrays.ArrayDataset(name, (32, 32, 3), n_classes, read)


def _standardised(images):
    """Standardise each image, as `tf.image.per_image_standardization`."""
    images = images.astype(np.float32)
    axes = (1, 2, 3)
    mean = images.mean(axes, keepdims=True)
    # A uniform image is not blown up.
    least = 1 / np.sqrt(np.prod(images.shape[1:]))
    deviation = np.maximum(images.std(axes, keepdims=True), least)
    return (images - mean) / deviation.astype(np.float32)
