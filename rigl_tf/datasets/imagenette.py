"""Imagenette, ten classes of ImageNet, from tensorflow_datasets."""

import os
from typing import Literal

from rigl_tf.datasets import jpeg_images


def imagenette(
    data_dir: str | os.PathLike | None = None,
    size: int = 224,
    on_damage: Literal["error", "skip"] = "error",
) -> jpeg_images.ImageDataset:
    """Return Imagenette: 9,469 images of ten classes to train, 3,925 to test.

    Images are preprocessed as in `imagenet2012`. See `imagenet2012` for the
    arguments.
    """
    name = "imagenette/full-size-v2"
    return jpeg_images.ImageDataset(name, 10, data_dir, size, on_damage)
