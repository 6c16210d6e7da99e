"""Read and write mask files, one bit per weight.

A file is an `.npz` archive with two entries per kernel: `bits:<path>`, the mask
with eight weights packed into each byte, and `shape:<path>`.
"""

from collections.abc import Mapping
import math
import os
import pathlib

import numpy as np
import numpy.typing as npt

from rigl_tf import archives
from rigl_tf import files

_BITS, _SHAPE = "bits:", "shape:"


def save(path: str | os.PathLike, masks: Mapping[str, npt.ArrayLike]) -> None:
    """Write masks to a file.

    Args:
        path: path of the `.npz` file.
        masks: dictionary from the path of a kernel to an array of zeros and
            ones.

    Raises:
        OSError: if the file cannot be written.
    """
    entries = {}
    for name, mask in masks.items():
        entries[_BITS + name] = np.packbits(np.asarray(mask, bool))
        entries[_SHAPE + name] = np.asarray(np.shape(mask), np.int64)
    archives.write(files.path(path), entries)


def load(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read masks from a file.

    Args:
        path: path of a file that `save` wrote.

    Returns:
        A dictionary from the path of a kernel to a boolean array.

    Raises:
        files.DamagedFile: if the file contains no masks, or is damaged.
        FileNotFoundError: if the file does not exist.
    """
    path = files.path(path)
    with archives.reading(path) as archive:
        names = [
            name.removeprefix(_BITS)
            for name in archive.names
            if name.startswith(_BITS)
        ]
        if not names:
            raise files.DamagedFile(
                path, "must hold masks as entries `bits:<kernel>`, has none"
            )
        return {name: read_mask(path, archive, name) for name in names}


def read_mask(
    path: pathlib.Path, archive: archives.Archive, name: str
) -> np.ndarray:
    """Read one mask from an open archive.

    Args:
        path: path of the archive, used in error messages.
        archive: the open archive.
        name: path of the kernel: the names of the entries without "bits:" and
            "shape:".

    Returns:
        A boolean array.

    Raises:
        files.DamagedFile: if an entry is missing or damaged.
    """
    shape = archive.read(_SHAPE + name, (None,), np.int64).tolist()
    bits = archive.read(_BITS + name, (None,), np.uint8)
    size = math.prod(shape)
    if min(shape, default=1) < 1 or -(-size // 8) != bits.size:
        raise files.DamagedFile(
            path, f"must hold one bit per weight of {name!r}, of shape {shape}"
        )
    return np.unpackbits(bits, count=size).reshape(shape).astype(bool)
