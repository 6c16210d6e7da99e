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


def remove_incomplete(directory):
    """Delete what a killed process was writing into a directory."""
    for leftover in directory.glob(f"{TEMPORARY}*"):
        leftover.unlink()


def write_text(place, text):
    """Write a text file anew, see `replacing`."""
    with replacing(place) as temporary:
        temporary.write_text(text, encoding="utf-8")


def open_bytes(place):
    """Open a file for reading at any position."""
    return (
        open(place, "rb") if is_local(place) else io.BytesIO(place.read_bytes())
    )


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
