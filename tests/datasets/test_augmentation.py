"""Augmentation, beside numpy."""

import numpy as np
import tensorflow as tf

from rigl_tf.datasets import augmentation


def test_crops_and_flips_are_those_of_padding():
    """Against np.pad with its symmetric mode, one image at a time."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(32, 7, 9, 2)).astype("float32")
    draws = rng.integers(0, 1 << 30, (32, 3))
    found = augmentation.crop_and_flip(tf.constant(images), draws, 3)
    for image, draw, result in zip(images, draws, found.numpy()):
        padded = np.pad(image, ((3, 3), (3, 3), (0, 0)), "symmetric")
        top, left = draw[:2] % 7
        crop = padded[top : top + 7, left : left + 9]
        np.testing.assert_array_equal(
            result, crop[:, ::-1] if draw[2] % 2 else crop
        )
