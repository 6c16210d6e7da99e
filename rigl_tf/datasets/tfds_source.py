"""Read and prepare data sets of tensorflow_datasets."""

import dataclasses
import functools
import os
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from rigl_tf.datasets import arrays
from rigl_tf.datasets import text_files

if TYPE_CHECKING:  # slow to import
    import tensorflow_datasets as tfds


def builder(
    name: str, data_dir: str | os.PathLike | None = None
) -> "tfds.core.DatasetBuilder":
    """Return the builder of a prepared data set.

    Args:
        name: name in tensorflow_datasets.
        data_dir: directory of prepared data sets; None for `TFDS_DATA_DIR` or
            the default of tensorflow_datasets.

    Raises:
        FileNotFoundError: if the data set is not prepared.
        ValueError: if tensorflow_datasets has no such data set.
    """
    found = _find(name, data_dir)
    if not found.data_path.exists():
        raise FileNotFoundError(
            f"`{name}` must be prepared before use. Received: no data set in "
            f"{found.data_path}. Prepare it with: "
            f"rigl_tf prepare {name}  (or set TFDS_DATA_DIR)"
        )
    return found


def prepare(
    name: str, data_dir: str | os.PathLike | None = None
) -> dict[str, Any]:
    """Prepare a data set, unless it exists, and describe its content.

    Args:
        name: name in tensorflow_datasets, or "wikitext103" or "wikitext2".
        data_dir: directory of prepared data sets, see `builder`; for texts,
            None stands for `RIGL_TF_TEXT_DIR`.

    Returns:
        A dictionary with "name", "directory", "unit" ("examples" or
        "characters") and "splits", the number of units in each split.

    Raises:
        ValueError: if tensorflow_datasets has no such data set.
        OSError: if the data set cannot be downloaded or written, or its archive
            must be put in place by hand; the message says where.
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
        except Exception as error:  # of network, disk, archive, ...
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


def image_splits(
    name: str, data_dir: str | os.PathLike | None
) -> tuple[arrays.Split, arrays.Split]:
    """Read the splits "train" and "test" of a small data set of images.

    See `builder` for the arguments and errors.

    The runs of a sweep have most often the same data: those read last stay in
    memory, and are read once.

    Returns:
        The training and the test `arrays.Split`, of uint8 images; read-only.
    """
    source = builder(name, data_dir)
    return _read_splits(_Prepared(str(source.data_path), source))


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """A builder of a prepared data set, known by its directory."""

    directory: str
    builder: Any = dataclasses.field(compare=False)


@functools.lru_cache(maxsize=1)
def _read_splits(prepared):
    import tensorflow_datasets as tfds

    splits = []
    for split in ("train", "test"):
        images, labels = tfds.as_numpy(
            prepared.builder.as_dataset(
                split=split, batch_size=-1, as_supervised=True
            )
        )
        images.flags.writeable = False
        splits.append(arrays.Split(images, labels.astype(np.int32)))
    return splits[0], splits[1]


def _find(name, data_dir):
    """Return the builder of a data set, prepared or not."""
    import tensorflow_datasets as tfds  # slow to import

    # The library reads the variable only once, when it is imported.
    data_dir = data_dir or os.environ.get("TFDS_DATA_DIR")
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise ValueError(
            f"tensorflow_datasets knows no data set {name!r}: see `tfds list`"
        ) from error
    except Exception as error:  # e.g. AssertionError for another version
        raise ValueError(
            f"tensorflow_datasets cannot load {name!r}: {_short(error)}"
        ) from error


def _short(error):
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:400]
