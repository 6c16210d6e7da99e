"""Read texts from files, directories and archives as memory maps."""

import contextlib
import lzma
import os
import pathlib
import shutil
import struct
import tempfile
from typing import Literal
from typing import get_args
import zipfile
import zlib

import numpy as np

from rigl_tf import files

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
# Tokens of each split, including line ends: Merity et al. 2016, table 1.
_TOKENS = {
    "wikitext103": (103_227_021, 217_646, 245_569),
    "wikitext2": (2_088_628, 217_646, 245_569),
}
_FOLDERS = {"wikitext103": "wikitext-103", "wikitext2": "wikitext-2"}
NAMES = tuple(_FOLDERS)
_SOURCE = "https://wikitext.smerity.com"
_BLOCK = 1 << 20


def directory(data_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Return the directory of texts: `data_dir`, or `RIGL_TF_TEXT_DIR`."""
    return files.path(data_dir or os.environ.get("RIGL_TF_TEXT_DIR") or ".")


def read(place: str | os.PathLike) -> np.ndarray:
    """Return the bytes of a file, a directory or a zip archive.

    Anything but one local file is first written to a temporary file (in
    TMPDIR), block by block. Only the parts that are accessed are in memory.

    Args:
        place: path; the files of a directory or an archive are joined in the
            order of their names.

    Returns:
        A uint8 array [n], mapped into memory.

    Raises:
        FileNotFoundError: if the path does not exist.
        OSError: if the archive cannot be read.
    """
    path = files.path(place)
    if path.is_dir():
        parts = sorted(p for p in path.iterdir() if p.is_file())
        if len(parts) == 1:
            return read(parts[0])
        return _joined([lambda p=p: p.open("rb") for p in parts])
    if not path.exists():
        raise FileNotFoundError(f"No text found. Received: {str(place)!r}")
    if path.suffix == ".zip":
        with _archive(path) as archive:
            names = sorted(n for n in archive.namelist() if n and n[-1] != "/")
            return _joined([lambda n=n: archive.open(n) for n in names])
    if not files.is_local(path):
        return _joined([lambda: path.open("rb")])
    return _mapped(path, files.size(path))


def wikitext(name: str, split: Split, place: str | os.PathLike) -> np.ndarray:
    """Return a split of WikiText-103 or WikiText-2.

    Args:
        name: "wikitext103" or "wikitext2".
        split: "train", "valid" or "test".
        place: directory of the files, or of the archive.

    Returns:
        A uint8 array [n], mapped into memory.

    Raises:
        FileNotFoundError: if it is missing; the message explains how to get it.
    """
    place = files.path(place)
    member, archive_path = _member(name, split), _archive_path(name, place)
    if (place / member).exists():
        return read(place / member)
    if not archive_path.exists():
        raise FileNotFoundError(
            f"`{name}` must be prepared before use. Received: no "
            f"{member} in {str(place)!r}. Prepare it with: "
            f"rigl_tf prepare {name}  (or set RIGL_TF_TEXT_DIR)"
        )
    with _archive(archive_path) as archive:
        return _joined([lambda: archive.open(member)])


def prepare(name: str, place: str | os.PathLike) -> dict[str, int]:
    """Check the files of WikiText, after unpacking its archive if needed.

    Args:
        name: "wikitext103" or "wikitext2".
        place: directory of the files, or of the archive.

    Returns:
        A dictionary from split to its number of characters.

    Raises:
        FileNotFoundError: if files and archive are missing; the message names
            the URL of the archive.
        ValueError: if a split does not have the published number of tokens.
    """
    place = files.path(place)
    archive_path = _archive_path(name, place)
    members = {split: _member(name, split) for split in SPLITS}
    missing = [m for m in members.values() if not (place / m).exists()]
    if missing and not archive_path.exists():
        raise FileNotFoundError(
            f"`{name}` needs {', '.join(missing)} in {str(place)!r}. Put "
            f"{_SOURCE}/{archive_path.name} there, and repeat the command"
        )
    if missing:
        with _archive(archive_path) as archive:
            (place / _FOLDERS[name]).mkdir(exist_ok=True)
            for member in missing:
                _unpack(archive, member, place / member)
    counts: dict[str, int] = {}
    for split, expected in zip(SPLITS, _TOKENS[name]):
        text = read(place / members[split])
        found = count_tokens(text)
        if found != expected:
            raise ValueError(
                f"{members[split]} must hold {expected:,} tokens. Received: "
                f"{found:,}; unpack the archive again"
            )
        counts[split] = len(text)
    return counts


def count_tokens(text: np.ndarray) -> int:
    """Count words between white space, and line ends, block by block.

    Args:
        text: uint8 array [n].
    """
    n_tokens, in_word = 0, False
    for begin in range(0, len(text), _BLOCK):
        block = np.asarray(text[begin : begin + _BLOCK])
        is_letter = ~np.isin(block, np.frombuffer(b" \t\n\r\x0b\x0c", "uint8"))
        before = np.concatenate([[in_word], is_letter[:-1]])
        n_tokens += int((is_letter & ~before).sum() + (block == 10).sum())
        in_word = bool(is_letter[-1])
    return n_tokens


def _member(name, split):
    """Return the name of a split's file, in the archive and unpacked."""
    return f"{_FOLDERS[name]}/wiki.{split}.tokens"


def _archive_path(name, place):
    return place / f"{_FOLDERS[name]}-v1.zip"


@contextlib.contextmanager
def _archive(path):
    """Open a zip archive; convert errors of reading it to OSError."""
    try:
        with (
            files.open_bytes(path) as stream,
            zipfile.ZipFile(stream) as archive,
        ):
            yield archive
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        KeyError,
        EOFError,
        UnicodeDecodeError,
    ) as error:
        raise OSError(
            f"{path} is damaged: {error}; download it again"
        ) from error
    except (
        RuntimeError,
        lzma.LZMAError,
    ) as error:  # encrypted, or unknown compression
        raise OSError(
            f"{path} cannot be read: {error}; unpack it with another program"
        ) from error


def _unpack(archive, member, place):
    with (
        files.replacing(place) as temporary,
        archive.open(member) as source,
        temporary.open("wb") as target,
    ):
        shutil.copyfileobj(source, target, _BLOCK)


def _joined(openers):
    """Join streams in a temporary file without a name."""
    with tempfile.TemporaryFile() as target:
        for opener in openers:
            with opener() as source:
                shutil.copyfileobj(source, target, _BLOCK)
        target.flush()
        return _mapped(target, target.tell())


def _mapped(file, length):
    if not length:  # an empty file cannot be mapped
        return np.zeros(0, np.uint8)
    return np.memmap(file, np.uint8, "r", shape=(length,))
