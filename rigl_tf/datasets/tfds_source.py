"""Data sets that tensorflow_datasets has prepared on disk."""

import os

import numpy as np

from rigl_tf.datasets import arrays
from rigl_tf.datasets import text_files


def builder(name, data_dir=None):
    """Return the builder of a prepared data set.

    Args:
        name: as in tensorflow_datasets.
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.

    Raises:
        FileNotFoundError: the data set is not there.
    """
    found = _find(name, data_dir)
    if not found.data_path.exists():
        raise FileNotFoundError(
            f"`{name}` must be prepared before use. Received: no data set in "
            f"{found.data_path}. Prepare it with: "
            f"rigl_tf prepare {name}  (or set TFDS_DATA_DIR)"
        )
    return found


def prepare(name, data_dir=None):
    """Prepare a data set, unless it is there, and say what is in it.

    Args:
        name: as in `builder`, or "wikitext103" or "wikitext2".
        data_dir: as in `builder`; of texts None is `RIGL_TF_TEXT_DIR`.

    Returns:
        dictionary with "name", "directory" and "splits", the number of
        each one's examples or characters ("unit").

    Raises:
        ValueError: tensorflow_datasets knows no such data set.
        OSError: it could not be downloaded or written, or its archive must be
            put in place by hand; says where.
    """
    if name in text_files.NAMES:
        place = text_files.directory(data_dir)
        return {
            "name": name,
            "directory": str(place),
            "unit": "characters",
            "splits": text_files.prepare(name, place),
        }
    found = _find(name, data_dir)
    if not found.data_path.exists():
        try:
            found.download_and_prepare()
        except Exception as error:  # of any kind, from network to archive
            raise OSError(
                f"`{name}` could not be prepared in {found.data_path}: "
                f"{_short(error)}"
            ) from error
    return {
        "name": name,
        "directory": str(found.data_path),
        "unit": "examples",
        "splits": {n: s.num_examples for n, s in found.info.splits.items()},
    }


def image_splits(name, data_dir):
    """Read the splits "train" and "test" of a small set of images.

    Args:
        name: as in `builder`.
        data_dir: as in `builder`.

    Returns:
        training and test `arrays.Split` of uint8 images.
    """
    import tensorflow_datasets as tfds

    source = builder(name, data_dir)
    splits = []
    for split in ("train", "test"):
        images, labels = tfds.as_numpy(
            source.as_dataset(split=split, batch_size=-1, as_supervised=True)
        )
        splits.append(arrays.Split(images, labels.astype(np.int32)))
    return tuple(splits)


def _find(name, data_dir):
    """Return the builder of a data set, prepared or not."""
    import tensorflow_datasets as tfds  # slow to import

    # The library reads the variable once, when it is imported.
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise ValueError(
            f"tensorflow_datasets knows no data set {name!r}: see `tfds list`"
        ) from error
    except Exception as error:  # of any kind: another version is an assertion
        raise ValueError(
            f"tensorflow_datasets cannot load {name!r}: {_short(error)}"
        ) from error


def _short(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:400]
