"""Imagenette, ten classes of ImageNet, through tensorflow_datasets."""

from rigl_tf.datasets import jpeg_images


def imagenette(data_dir=None, size=224, on_damage="error"):
    """Return Imagenette: 9,469 images of ten classes to train, 3,925 to test.

    Preprocessed as `imagenet2012`.

    Args and Returns: as `imagenet2012`.
    """
    name = "imagenette/full-size-v2"
    return jpeg_images.ImageDataset(name, 10, data_dir, size, on_damage)
