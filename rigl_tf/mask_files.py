"""Masks on disk: one bit per weight.

A file is an `.npz` archive that holds two entries per kernel: the bits of the
mask, packed eight to a byte, under the kernel's path, and its shape under
`<path>:shape`.
"""

import math
import pathlib

import numpy as np

_SHAPE = ":shape"


def save(path, masks):
    """Write masks to a file.

    Args:
        path: file to write, `.npz`.
        masks: dictionary from the path of a kernel to an array of zeros and
            ones.
    """
    entries = {}
    for name, mask in masks.items():
        entries[name] = np.packbits(np.asarray(mask, bool))
        entries[name + _SHAPE] = np.asarray(np.shape(mask), np.int64)
    with open(path, "wb") as stream:
        np.savez(stream, **entries)


def load(path):
    """Read masks from a file.

    Returns:
        dictionary from the path of a kernel to a boolean array.
    """
    with np.load(pathlib.Path(path), allow_pickle=False) as archive:
        return {
            name: _unpack(archive[name], archive[name + _SHAPE])
            for name in archive.files
            if not name.endswith(_SHAPE)
        }


def _unpack(bits, shape):
    flat = np.unpackbits(bits, count=math.prod(shape.tolist()))
    return flat.reshape(shape).astype(bool)
