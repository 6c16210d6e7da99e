"""Masks on disk: one bit per weight."""

import math

import numpy as np

from rigl_tf import archives
from rigl_tf import files

_BITS, _SHAPE = "bits:", "shape:"


def save(path, masks):
    """Write masks to a file.

    Args:
        path: file to write, `.npz`.
        masks: dictionary from the path of a kernel to an array of zeros and
            ones.
    """
    entries = {}
    for name, mask in masks.items():
        entries[_BITS + name] = np.packbits(np.asarray(mask, bool))
        entries[_SHAPE + name] = np.asarray(np.shape(mask), np.int64)
    archives.write(files.path(path), entries)


def load(path):
    """Read masks from a file.

    Returns:
        dictionary from the path of a kernel to a boolean array.

    Raises:
        files.DamagedFile: the file holds no masks, or is damaged.
        FileNotFoundError: it does not exist.
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


def read_mask(path, archive, name):
    """Read one mask from an open archive.

    Args:
        path: of the archive, for messages.
        archive: `archives.Archive`.
        name: what its entries are called after, "bits:" and "shape:".

    Returns:
        boolean array.
    """
    shape = archive.read(_SHAPE + name, (None,), np.int64).tolist()
    bits = archive.read(_BITS + name, (None,), np.uint8)
    size = math.prod(shape)
    if min(shape, default=1) < 1 or -(-size // 8) != bits.size:
        raise files.DamagedFile(
            path, f"must hold one bit per weight of {name!r}, of shape {shape}"
        )
    return np.unpackbits(bits, count=size).reshape(shape).astype(bool)
