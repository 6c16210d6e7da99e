"""Archives of arrays (`.npz`): written whole, read with every entry checked.

Nothing is unpickled or evaluated, and shape and type of an entry are compared
with what is expected before memory is taken for it. The archive carries a
CRC-32 of every entry.
"""

import contextlib
import math
import re
import zipfile
import zlib

import numpy as np

from rigl_tf import files

_MAGIC = b"\x93NUMPY\x01\x00"
# What `numpy.save` writes for arrays of numbers.
_HEADER = re.compile(
    rb"\{'descr': '([<>|]\w+)', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?)*(?:\d{1,18})?)\), \} *\n"
)
_NAMES = {
    np.dtype(name).str: name
    for name in (
        "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 "
        "float32 float64"
    ).split()
}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
# What `zipfile` raises on damaged archives.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    ValueError,
)


def write(path, arrays):
    """Write arrays to a file, atomically.

    Args:
        path: of the file, `.npz`; its directory must exist.
        arrays: dictionary from name to array; no name may be "file".

    Raises:
        OSError: it cannot be written; what was there is left as it was.
    """
    with (
        files.replacing(path) as temporary,
        open(temporary, "wb") as stream,
    ):
        np.savez(stream, **arrays)


@contextlib.contextmanager
def reading(path):
    """Open a file for reading: yields an `Archive`.

    Raises:
        files.DamagedFile: it is no archive.
        FileNotFoundError: it does not exist.
    """
    with files.open_bytes(path) as stream:
        with _damage_of(path):
            archive = zipfile.ZipFile(stream)
        with archive:
            yield Archive(path, archive)


class Archive:
    """An open archive.

    Attributes:
        names: names of its entries.

    Args:
        path: of the file, for messages.
        archive: `zipfile.ZipFile`.
    """

    def __init__(self, path, archive):
        self._path = path
        self._archive = archive
        self._entries = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
        }
        self.names = list(self._entries)

    def read(self, name, shape, dtype):
        """Read one array of a known kind.

        Args:
            name: of the entry.
            shape: tuple of sizes that it must have; None for any size.
            dtype: NumPy type that it must have.

        Returns:
            array that may be written to.

        Raises:
            files.DamagedFile: there is no such entry, it is damaged, or of
                another shape or type.
        """
        if name not in self._entries:
            raise files.DamagedFile(self._path, f"lacks the entry {name!r}")
        info = self._entries[name]
        if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED:
            raise files.DamagedFile(
                self._path, f"holds {name!r} encrypted or in a foreign format"
            )
        with _damage_of(self._path), self._archive.open(info) as stream:
            found = _read_header(stream)
            if found is None or not _fits(found, shape, dtype):
                wanted = _described(shape, _text(dtype))
                has = _described(*found[:2]) if found else "no array of numbers"
                raise files.DamagedFile(
                    self._path, f"must hold {name!r} as {wanted}, has {has}"
                )
            shape, dtype, order = found[0], np.dtype(dtype), found[2]
            left = info.file_size - stream.tell()
            if left != math.prod(shape) * dtype.itemsize:
                raise files.DamagedFile(
                    self._path, f"has {name!r} of another length than it says"
                )
            return np.ndarray(
                shape, dtype, bytearray(stream.read()), 0, None, order
            )


def kinds(arrays):
    """Map the names of arrays to the `(shape, dtype)` of each."""
    return {name: (a.shape, a.dtype) for name, a in arrays.items()}


def _read_header(stream):
    """Return shape, type as a text, and order of an entry; None if not ours."""
    if stream.read(len(_MAGIC)) != _MAGIC:
        return None
    length = int.from_bytes(stream.read(2), "little")
    header = _HEADER.fullmatch(stream.read(length))
    if header is None:
        return None
    sizes = tuple(int(n) for n in header[3].split(b",") if n.strip())
    return sizes, header[1].decode(), "F" if header[2] == b"True" else "C"


def _text(dtype):
    """Return how the header of an entry names a type."""
    return np.lib.format.dtype_to_descr(np.dtype(dtype))


def _fits(found, shape, dtype):
    sizes, text, _ = found
    return (
        text == _text(dtype)
        and len(sizes) == len(shape)
        and all(b in (None, a) for a, b in zip(sizes, shape))
    )


def _described(shape, text):
    """Say of what type and shape an array is; `text` is NumPy's for a type."""
    sizes = ", ".join("n" if size is None else str(size) for size in shape)
    return f"{_NAMES.get(text, text)} of shape ({sizes})"


@contextlib.contextmanager
def _damage_of(path):
    """Turn what a damaged archive makes `zipfile` raise into one error."""
    try:
        yield
    except files.DamagedFile:
        raise
    except _DAMAGE as error:
        raise files.DamagedFile(
            path, f"is damaged ({error or type(error).__name__})"
        ) from error
