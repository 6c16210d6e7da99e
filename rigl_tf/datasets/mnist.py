"""MNIST through tensorflow_datasets."""

import functools
import os

import numpy as np

from rigl_tf.datasets import arrays


def mnist(data_dir=None):
    """Return MNIST: 60,000 images to train, 10,000 to test.

    Pixels lie in [0, 1]; no other preprocessing, as the original code.

    Args:
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.

    Returns:
        `ArrayDataset` with inputs [examples, 28, 28, 1]; reading them raises
        FileNotFoundError if the data set is not prepared.
    """
    read = functools.partial(_read, data_dir)
    return arrays.ArrayDataset("mnist", (28, 28, 1), 10, read)


def _read(data_dir):
    import tensorflow_datasets as tfds  # slow to import

    # The library reads the variable once, when it is imported.
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    builder = tfds.builder("mnist", data_dir=data_dir)
    if not builder.data_path.exists():
        raise FileNotFoundError(
            "`mnist` must be prepared before use. Received: no data set in "
            f"{builder.data_path}. Prepare it with: "
            "tfds build mnist  (or set TFDS_DATA_DIR)"
        )
    splits = []
    for split in ("train", "test"):
        images, labels = tfds.as_numpy(
            builder.as_dataset(split=split, batch_size=-1, as_supervised=True)
        )
        images = images.astype(np.float32) / 255
        splits.append(arrays.Split(images, labels.astype(np.int32)))
    return tuple(splits)
