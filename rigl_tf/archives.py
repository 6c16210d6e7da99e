"""Read and write archives of arrays (`.npz`), checking every entry.

Nothing is unpickled or evaluated. The shape and the type of an entry are
compared with the expected ones before any memory is allocated for it, and the
CRC-32 that the archive stores for each entry is verified.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import math
import pathlib
import re
import zipfile
import zlib

import numpy as np
import numpy.typing as npt

from rigl_tf import files

_MAGIC = b"\x93NUMPY\x01\x00"
# The header that `numpy.save` writes for arrays of numbers.
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
# The errors of `zipfile` on damaged archives.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    ValueError,
)


def write(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a file, atomically.

    Args:
        path: path of the `.npz` file; its directory must exist.
        arrays: dictionary from name to array; no array may be named "file".

    Raises:
        OSError: if the file cannot be written; an existing file is kept.
    """
    with (
        files.replacing(path) as temporary,
        open(temporary, "wb") as stream,
    ):
        # NumPy types the keywords after its flag `allow_pickle`.
        np.savez(stream, **arrays)  # type: ignore[arg-type]


@contextlib.contextmanager
def reading(path: pathlib.Path) -> Iterator["Archive"]:
    """Open a file for reading and yield its `Archive`.

    Args:
        path: path of the file.

    Raises:
        files.DamagedFile: if the file is not an archive.
        FileNotFoundError: if the file does not exist.
    """
    with files.open_bytes(path) as stream:
        with _damage_of(path):
            archive = zipfile.ZipFile(stream)
        with archive:
            yield Archive(path, archive)


class Archive:
    """An open archive.

    Args:
        path: path of the file, used in error messages.
        archive: the open zip file.

    Attributes:
        names: names of the entries.
    """

    def __init__(self, path: pathlib.Path, archive: zipfile.ZipFile):
        self._path = path
        self._archive = archive
        self._entries = {
            info.filename.removesuffix(".npy"): info
            for info in archive.infolist()
        }
        self.names = list(self._entries)

    def read(
        self, name: str, shape: Sequence[int | None], dtype: npt.DTypeLike
    ) -> np.ndarray:
        """Read one array of known shape and type.

        Args:
            name: name of the entry.
            shape: the required shape; None stands for any size.
            dtype: the required NumPy type.

        Returns:
            A writable array.

        Raises:
            files.DamagedFile: if the entry is missing, damaged, or of another
                shape or type.
        """
        if name not in self._entries:
            raise files.DamagedFile(self._path, f"lacks the entry {name!r}")
        info = self._entries[name]
        if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED:
            raise files.DamagedFile(
                self._path,
                f"holds {name!r} encrypted or compressed by another method",
            )
        with _damage_of(self._path), self._archive.open(info) as stream:
            found = _read_header(stream)
            if found is None or not _fits(found, shape, dtype):
                wanted = _described(shape, _text(dtype))
                has = _described(*found[:2]) if found else "no array of numbers"
                raise files.DamagedFile(
                    self._path, f"must hold {name!r} as {wanted}, has {has}"
                )
            sizes, kind, order = found[0], np.dtype(dtype), found[2]
            left = info.file_size - stream.tell()
            if left != math.prod(sizes) * kind.itemsize:
                raise files.DamagedFile(
                    self._path,
                    f"has {name!r} of another length than its header says",
                )
            return np.ndarray(
                sizes, kind, bytearray(stream.read()), 0, None, order
            )


def kinds(
    arrays: Mapping[str, np.ndarray],
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Map the name of each array to its `(shape, dtype)`."""
    return {name: (a.shape, a.dtype) for name, a in arrays.items()}


def _read_header(stream):
    """Parse the header of an entry: its shape, type name and memory order.

    Returns None if `numpy.save` would not have written it for numbers.
    """
    if stream.read(len(_MAGIC)) != _MAGIC:
        return None
    length = int.from_bytes(stream.read(2), "little")
    header = _HEADER.fullmatch(stream.read(length))
    if header is None:
        return None
    sizes = tuple(int(n) for n in header[3].split(b",") if n.strip())
    return sizes, header[1].decode(), "F" if header[2] == b"True" else "C"


def _text(dtype):
    """Return the name that the header of an entry uses for a type."""
    return np.lib.format.dtype_to_descr(np.dtype(dtype))


def _fits(found, shape, dtype):
    sizes, text, _ = found
    return (
        text == _text(dtype)
        and len(sizes) == len(shape)
        and all(b in (None, a) for a, b in zip(sizes, shape))
    )


def _described(shape, text):
    """Describe an array; `text` is NumPy's name of its type."""
    sizes = ", ".join("n" if size is None else str(size) for size in shape)
    return f"{_NAMES.get(text, text)} of shape ({sizes})"


@contextlib.contextmanager
def _damage_of(path):
    """Convert the errors of `zipfile` on damaged archives to `DamagedFile`."""
    try:
        yield
    except files.DamagedFile:
        raise
    except _DAMAGE as error:
        raise files.DamagedFile(
            path, f"is damaged ({error or type(error).__name__})"
        ) from error
