"""ImageNet from tensorflow_datasets."""

import os
from typing import Literal

from rigl_tf.datasets import jpeg_images


def imagenet2012(
    data_dir: str | os.PathLike | None = None,
    size: int = 224,
    on_damage: Literal["error", "skip"] = "error",
) -> jpeg_images.ImageDataset:
    """Return ImageNet: about 1.28 million images to train, 50,000 to test.

    Training images are random crops (8% to 100% of the area, aspect ratio 3/4
    to 4/3), and half of them are flipped. Test images are the center, 224 of
    256 pixels in proportion. Both are resized bicubically and standardized by
    the mean and standard deviation of the channels. Gray images get three equal
    channels.

    Args:
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.
        size: height and width of the images.
        on_damage: "error" stops training at an image that cannot be decoded;
            "skip" replaces it by the next one and prints a message.

    Returns:
        An `ImageDataset`. Training on it raises FileNotFoundError if the data
        set is not prepared.
    """
    return jpeg_images.ImageDataset(
        "imagenet2012", 1000, data_dir, size, on_damage
    )
