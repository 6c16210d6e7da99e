"""ImageNet through tensorflow_datasets."""

from rigl_tf.datasets import jpeg_images


def imagenet2012(data_dir=None, size=224, on_damage="error"):
    """Return ImageNet: about 1.28 million images to train, 50,000 to test.

    Training images are random crops (8 to 100 % of the area, aspect 3/4 to 4/3)
    of which half are flipped, test images the centre, 224 of 256 pixels in
    proportion; both are resized bicubically and standardised by the channels'
    mean and deviation. Grey images get three equal channels.

    Args:
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.
        size: height and width of the images.
        on_damage: "error" ends training at an image that cannot be decoded;
            "skip" takes the next one in its place, and says so.

    Returns:
        `ImageDataset`; training on it raises FileNotFoundError if the data set
        is not prepared.
    """
    return jpeg_images.ImageDataset(
        "imagenet2012", 1000, data_dir, size, on_damage
    )
