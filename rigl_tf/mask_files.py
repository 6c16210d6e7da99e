"""Masks on disk: one bit per weight.

A file is an `.npz` archive that holds two entries per kernel: `bits:<path>`,
the mask packed eight weights to a byte, and `shape:<path>`.
"""

import math

import numpy as np

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
    with (
        files.replacing(files.path(path)) as temporary,
        open(temporary, "wb") as stream,
    ):
        np.savez(stream, **entries)


def load(path):
    """Read masks from a file.

    Returns:
        dictionary from the path of a kernel to a boolean array.

    Raises:
        ValueError: the file holds no masks.
    """
    with (
        files.open_bytes(files.path(path)) as stream,
        np.load(stream) as archive,
    ):
        masks = {
            name: unpack(archive[_BITS + name], archive[_SHAPE + name])
            for name in (
                entry.removeprefix(_BITS)
                for entry in archive.files
                if entry.startswith(_BITS)
            )
        }
    if not masks:
        raise ValueError(
            "A file of masks must hold entries `bits:<kernel>`. Received: "
            f"{str(path)!r}, which holds none"
        )
    return masks


def unpack(bits, shape):
    """Return the boolean array of a packed mask.

    Args:
        bits: bytes, eight weights each, as `numpy.packbits` makes them.
        shape: integer array.
    """
    flat = np.unpackbits(bits, count=math.prod(shape.tolist()))
    return flat.reshape(shape).astype(bool)
