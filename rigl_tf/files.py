"""Files of a run, on a local disk or at a URL such as gs://bucket/run.

URLs are read and written through `etils.epath`, by the file systems that
TensorFlow has (gs:// everywhere). A file is complete or absent: it is renamed
into place after it was written.
"""

import contextlib
import io
import os
import pathlib
import shutil
import tempfile

# Local names of files that are being written.
TEMPORARY = ".tmp-"
# Of URLs, as far as etils knows them.
_SCHEMES = ("gs", "s3")


class DamagedFile(ValueError):
    """A file does not hold what it should.

    Args:
        place: path of the file.
        what: what is wrong with it, as a verb and its object.
    """

    def __init__(self, place, what):
        super().__init__(f"{str(place)!r} {what}")


def path(name):
    """Return a path object for a local name or a URL.

    Args:
        name: string or path; a path is returned as it is.

    Raises:
        ValueError: the URL is of an unknown kind.
    """
    if "://" not in str(name):
        return name if hasattr(name, "parts") else pathlib.Path(name)
    from etils import epath
    import tensorflow as tf  # slow

    known = [s for s in tf.io.gfile.get_registered_schemes() if s in _SCHEMES]
    if str(name).partition("://")[0] not in known:
        raise ValueError(
            "A URL must be of a file system that TensorFlow has here: "
            f"{', '.join(f'{scheme}://' for scheme in known) or 'none'}. "
            f"Received: {str(name)!r}"
        )
    return epath.Path(name)


def is_local(place):
    """Say whether a path is on a local disk."""
    return isinstance(place, pathlib.Path)


@contextlib.contextmanager
def replacing(place):
    """Write a file anew: yields a local path, puts it in place in the end.

    Args:
        place: path of the file, which may exist; its directory must.

    Raises:
        OSError: it cannot be written; what was there is left as it was.
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


def remove_incomplete(directory, is_own):
    """Delete what a killed process was writing into a directory.

    Args:
        directory: its path, which need not exist.
        is_own: function that says whether we write a file of a name.
    """
    for leftover in directory.glob(f"{TEMPORARY}*"):
        name = leftover.name.removeprefix(TEMPORARY)
        if is_own(name) and not leftover.is_dir():
            leftover.unlink()


def write_text(place, text):
    """Write a text file anew, see `replacing`."""
    write_bytes(place, text.encode())


def write_bytes(place, data):
    """Write a file anew, see `replacing`."""
    with replacing(place) as temporary:
        temporary.write_bytes(data)


def require_file(place):
    """Raise `DamagedFile` if a path is that of a directory, pipe or device."""
    if is_local(place) and place.exists() and not place.is_file():
        raise DamagedFile(place, "must be a file; a directory or pipe is there")


def open_bytes(place):
    """Open a file for reading at any position.

    Raises:
        DamagedFile: the path is that of a directory, pipe or device.
        OSError: it cannot be read.
    """
    require_file(place)  # opening a pipe that nobody writes to would block
    return (
        open(place, "rb") if is_local(place) else io.BytesIO(place.read_bytes())
    )


def read_bytes(place):
    """Return what a file holds; errors as `open_bytes`."""
    with open_bytes(place) as stream:
        return stream.read()


def read_text(place):
    """Return the text of a file in UTF-8; errors as `open_bytes`."""
    try:
        return read_bytes(place).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DamagedFile(place, f"must be text in UTF-8 ({error})") from error


def find(directory, name):
    """List the files of a name below a directory, at any depth, sorted."""
    if is_local(directory):
        return sorted(directory.glob(f"**/{name}"))
    return sorted(
        root / name for root, _, names in directory.walk() if name in names
    )


def size(place):
    """Return the length of a file in bytes."""
    stat = place.stat()
    return stat.st_size if hasattr(stat, "st_size") else stat.length


def _flush(place):
    """Wait until a local file or directory has reached the disk."""
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
