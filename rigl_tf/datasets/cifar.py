"""CIFAR-10 and CIFAR-100 from tensorflow_datasets."""

import functools
import os

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import arrays
from rigl_tf.datasets import augmentation
from rigl_tf.datasets import tfds_source

_N_TRAIN = 50_000
_SIZE = 32


def cifar10(
    data_dir: str | os.PathLike | None = None,
    augment: bool = True,
    n_validation: int = 0,
    validate: bool = False,
    size: int = _SIZE,
) -> arrays.ArrayDataset:
    """Return CIFAR-10: 50,000 images to train, 10,000 to test.

    Every image is standardized: its mean is subtracted, then it is divided by
    its standard deviation. Training images are then shifted by up to four
    pixels, an eighth of their size, within a mirrored frame, and half of them
    are flipped.

    Args:
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.
        augment: whether to shift and flip.
        n_validation: number of training images at the end to hold out; 5,000 in
            the reproducibility report (Sundar & Dwaraknath 2021).
        validate: whether to test on these instead of the test images.
        size: height and width of the images [pixels], a divisor of 32. Smaller
            images are made first, by averaging squares of pixels.

    Returns:
        An `ArrayDataset` with inputs [examples, size, size, 3]. Reading it
        raises FileNotFoundError if the data set is not prepared.

    Raises:
        ValueError: if `n_validation` is too large, or 0 with `validate`; or if
            `size` does not divide 32.
    """
    return _cifar(
        "cifar10", 10, data_dir, augment, n_validation, validate, size
    )


def cifar100(
    data_dir: str | os.PathLike | None = None,
    augment: bool = True,
    n_validation: int = 0,
    validate: bool = False,
    size: int = _SIZE,
) -> arrays.ArrayDataset:
    """Return CIFAR-100: 50,000 images to train, 10,000 to test.

    Images are preprocessed as in `cifar10`. See `cifar10` for the arguments.
    """
    return _cifar(
        "cifar100", 100, data_dir, augment, n_validation, validate, size
    )


def _cifar(name, n_classes, data_dir, augment, n_validation, validate, size):
    checks.at_least("n_validation", n_validation, 0, integer=True)
    checks.one_of("augment", augment, (True, False))
    checks.one_of("validate", validate, (True, False))
    if n_validation >= _N_TRAIN or (validate and not n_validation):
        raise ValueError(
            f"`n_validation` must be below {_N_TRAIN:,}, and above 0 to "
            f"validate. Received: n_validation={n_validation}, "
            f"validate={validate}"
        )

    checks.at_least("size", size, 1, integer=True)
    if _SIZE % size:
        raise ValueError(
            f"`size` must divide {_SIZE}, as 16 does. Received: size={size}"
        )

    def read():
        train, test = (
            arrays.Split(_averaged(split.inputs, size), split.labels)
            for split in tfds_source.image_splits(name, data_dir)
        )
        n_train = len(train.inputs) - n_validation
        kept = arrays.Split(train.inputs[:n_train], train.labels[:n_train])
        if validate:
            test = arrays.Split(train.inputs[n_train:], train.labels[n_train:])
        return kept, test

    crop_and_flip = functools.partial(
        augmentation.crop_and_flip, padding=size // 8
    )
    return arrays.ArrayDataset(
        name,
        (size, size, 3),
        n_classes,
        read,
        preprocess=tf.image.per_image_standardization,
        augment=crop_and_flip if augment else None,
    )


def _averaged(images, size):
    """Return images [examples, 32, 32, 3] as means of squares of pixels."""
    n_pixels = _SIZE // size
    if n_pixels == 1:
        return images
    sums = np.zeros((len(images), size, size, 3), np.float32)
    for row in range(n_pixels):
        for column in range(n_pixels):
            sums += images[:, row::n_pixels, column::n_pixels]
    return sums / n_pixels**2
