"""Read and write files, on a local disk or at a URL such as gs://bucket/run.

URLs are read and written through `etils.epath`, which uses the file systems
that TensorFlow provides (gs:// in every installation). A file is written under
a temporary name and then renamed, so that it is either complete or absent.

Functions take path objects as `path` returns them: a `pathlib.Path`, or for a
URL an `etils.epath.Path`, which has the same methods.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import io
import os
import pathlib
import shutil
import tempfile
from typing import IO
from typing import Any
from typing import cast

# Prefix of the names of files that are being written.
TEMPORARY = ".tmp-"
# URL schemes that `etils.epath` supports.
_SCHEMES = ("gs", "s3")


class DamagedFile(ValueError):
    """A file does not contain what it should.

    Args:
        place: path of the file.
        what: what is wrong with it, beginning with a verb.
    """

    def __init__(self, place: str | os.PathLike, what: str):
        super().__init__(f"{str(place)!r} {what}")


def path(name: str | os.PathLike) -> pathlib.Path:
    """Return a path object for a local name or a URL.

    Args:
        name: string or path; a path object is returned unchanged.

    Raises:
        ValueError: if TensorFlow has no file system for the URL.
    """
    if "://" not in str(name):
        if hasattr(name, "parts"):
            return cast(pathlib.Path, name)
        return pathlib.Path(name)
    from etils import epath
    import tensorflow as tf  # slow to import

    known = [s for s in tf.io.gfile.get_registered_schemes() if s in _SCHEMES]
    if str(name).partition("://")[0] not in known:
        raise ValueError(
            "A URL must be of a file system that TensorFlow has here: "
            f"{', '.join(f'{scheme}://' for scheme in known) or 'none'}. "
            f"Received: {str(name)!r}"
        )
    return epath.Path(name)


def is_local(place: str | os.PathLike) -> bool:
    """Return whether a path is on a local disk."""
    return isinstance(place, pathlib.Path)


@contextlib.contextmanager
def replacing(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a local path to write to, and move the file into place at the end.

    Args:
        place: path of the file, which may exist; its directory must exist.

    Raises:
        OSError: if the file cannot be written; an existing file is kept.
    """
    if is_local(place):
        temporary = place.with_name(TEMPORARY + place.name)
        try:
            yield temporary
            _flush(temporary)
            os.replace(temporary, place)
        finally:
            temporary.unlink(missing_ok=True)
        _flush(place.parent)
        return
    with tempfile.TemporaryDirectory() as directory:
        temporary = pathlib.Path(directory) / place.name
        yield temporary
        upload = place.parent / (TEMPORARY + place.name)
        with open(temporary, "rb") as source, upload.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 24)
        upload.replace(place)


def remove_incomplete(
    directory: pathlib.Path, is_own: Callable[[str], bool]
) -> None:
    """Delete temporary files that a killed process left in a directory.

    Args:
        directory: path of the directory, which need not exist.
        is_own: function that returns whether a file name is one of ours.
    """
    for leftover in directory.glob(f"{TEMPORARY}*"):
        name = leftover.name.removeprefix(TEMPORARY)
        if is_own(name) and not leftover.is_dir():
            leftover.unlink()


def write_text(place: pathlib.Path, text: str) -> None:
    """Write a text file in UTF-8. See `replacing` for the errors."""
    write_bytes(place, text.encode())


def write_bytes(place: pathlib.Path, data: bytes) -> None:
    """Write a binary file. See `replacing` for the errors."""
    with replacing(place) as temporary:
        temporary.write_bytes(data)


def require_file(place: pathlib.Path) -> None:
    """Raise `DamagedFile` if the path is a directory, a pipe or a device."""
    if is_local(place) and place.exists() and not place.is_file():
        raise DamagedFile(place, "must be a file; a directory or pipe is there")


def open_bytes(place: pathlib.Path) -> IO[bytes]:
    """Open a file for reading at any position.

    Args:
        place: path of the file.

    Raises:
        DamagedFile: if the path is a directory, a pipe or a device.
        OSError: if the file cannot be read.
    """
    require_file(place)  # opening a pipe without a writer would block
    return (
        open(place, "rb") if is_local(place) else io.BytesIO(place.read_bytes())
    )


def read_bytes(place: pathlib.Path) -> bytes:
    """Return the content of a file. See `open_bytes` for the errors."""
    with open_bytes(place) as stream:
        return stream.read()


def read_text(place: pathlib.Path) -> str:
    """Return the text of a UTF-8 file. See `open_bytes` for the errors."""
    try:
        return read_bytes(place).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFile(place, f"must be text in UTF-8 ({error})") from error


def find(directory: pathlib.Path, name: str) -> list[pathlib.Path]:
    """List the files of a name below a directory, at any depth, sorted."""
    if is_local(directory):
        return sorted(directory.glob(f"**/{name}"))
    walked = directory.walk()  # type: ignore[attr-defined] # of etils.epath
    return sorted(root / name for root, _, names in walked if name in names)


def size(place: pathlib.Path) -> int:
    """Return the size of a file, or of all files in a directory, in bytes."""
    if place.is_dir():
        return sum(size(path) for path in place.iterdir())
    stat: Any = place.stat()  # `etils.epath` returns `length`
    return stat.st_size if hasattr(stat, "st_size") else stat.length


def _flush(place):
    """Wait until a local file or directory has reached the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
