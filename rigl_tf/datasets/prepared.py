"""Data sets that tensorflow_datasets has prepared on disk."""

import os

import numpy as np

from rigl_tf.datasets import arrays


def builder(name, data_dir=None):
    """Return the builder of a prepared data set.

    Args:
        name: as in tensorflow_datasets.
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.

    Raises:
        FileNotFoundError: the data set is not there.
    """
    import tensorflow_datasets as tfds  # slow to import

    # The library reads the variable once, when it is imported.
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    found = tfds.builder(name, data_dir=data_dir)
    if not found.data_path.exists():
        raise FileNotFoundError(
            f"`{name}` must be prepared before use. Received: no data set in "
            f"{found.data_path}. Prepare it with: "
            f"tfds build {name}  (or set TFDS_DATA_DIR)"
        )
    return found


def image_splits(name, data_dir, preprocess):
    """Read the splits "train" and "test" of a small set of images.

    Args:
        name: as in `builder`.
        data_dir: as in `builder`.
        preprocess: function from uint8 to float32 images.

    Returns:
        training and test `arrays.Split`.
    """
    import tensorflow_datasets as tfds

    source = builder(name, data_dir)
    splits = []
    for split in ("train", "test"):
        images, labels = tfds.as_numpy(
            source.as_dataset(split=split, batch_size=-1, as_supervised=True)
        )
        splits.append(arrays.Split(preprocess(images), labels.astype(np.int32)))
    return tuple(splits)
