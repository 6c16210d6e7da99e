"""Check that a work directory belongs to this run, and lock it."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import re

from absl import logging

from rigl_tf import files
from rigl_tf import run_files

# Exit code of a command whose work directory another process has locked:
# EX_TEMPFAIL, a temporary failure.
HELD = 75
# Settings that may change when a run is resumed: its hardware and its label,
# which do not change its result.
_MOVABLE = re.compile(
    r"(STRATEGY|DEVICES|TPU|JIT_COMPILE|INPUT_BUFFER|PROFILE_STEPS|LABEL) ="
    r"|experiment\.Experiment\.label ="
    r"|hardware\.(?!Hardware\.(precision|sync_batch_norm))"
)


def forget_after(step: int | None, workdir: pathlib.Path) -> None:
    """Delete what an interrupted run wrote after its newest checkpoint.

    In metrics.jsonl, lines of later steps and an incomplete last line are
    deleted; other lines stay as they are. Complete lines that are not ours are
    kept too, and a warning counts them. Masks of later steps are deleted.

    Args:
        step: step of the checkpoint, or None if there is no checkpoint.
        workdir: path of the work directory.

    Raises:
        files.DamagedFile: if metrics.jsonl is not a file.
    """
    last = -1 if step is None else step
    metrics_path = workdir / run_files.METRICS
    masks_directory = workdir / run_files.MASK_DIRECTORY
    if metrics_path.exists():
        _cut_lines(metrics_path, last)
    run_files.remove_incomplete(workdir)
    for recorded in run_files.steps(masks_directory):
        if recorded > last:
            run_files.numbered(masks_directory, recorded).unlink()


def _cut_lines(path: pathlib.Path, last: int) -> None:
    """Delete the lines of later steps, and an incomplete line at the end."""
    lines = run_files.read_metrics(path)
    kept = [
        (line, record)
        for line, record in lines
        if (record["step"] <= last if record else line.endswith(b"\n"))
    ]
    text = b"".join(line for line, _ in kept)
    if text and not text.endswith(b"\n"):
        text += b"\n"
    if text != b"".join(line for line, _ in lines):
        files.write_bytes(path, text)
    n_foreign = sum(record is None for _, record in kept)
    if n_foreign:
        logging.warning(
            "%s: %d lines are no objects with a step; they stay as they are",
            path,
            n_foreign,
        )


class WorkdirError(ValueError):
    """The directory belongs to another run, or is in use."""


class HeldError(WorkdirError):
    """Another process is training in the directory."""


@contextlib.contextmanager
def claim(
    directory: str | os.PathLike, config_text: str
) -> Iterator[pathlib.Path]:
    """Lock a work directory for this process and its configuration.

    Args:
        directory: work directory; created if it does not exist.
        config_text: the resolved configuration, written to config.gin.

    Yields:
        The path of the directory.

    Raises:
        HeldError: if another process has locked the directory.
        WorkdirError: if it belongs to another configuration, or is not a work
            directory.
        files.DamagedFile: if a run could not write one of its files there.
        OSError: if it cannot be written.
    """
    path = files.path(directory)
    require_own(path, config_text)
    path.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        config = path / run_files.CONFIG
        if not config.exists():
            files.write_text(config, config_text)
        yield path


@contextlib.contextmanager
def _lock(directory: pathlib.Path) -> Iterator[None]:
    """Lock a directory for this process, if it is local."""
    if not files.is_local(directory):  # object stores have no locks
        yield
        return
    # Created if it does not exist, but not truncated: it may be a link.
    flags = os.O_RDWR | os.O_CREAT
    descriptor = os.open(directory / run_files.LOCK, flags, 0o666)
    with open(descriptor, encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(
                "A work directory takes one process at a time. Received: "
                f"{str(directory)!r}, in which another process is training"
            ) from None
        yield


def require_own(directory: str | os.PathLike, config_text: str) -> None:
    """Require a directory that is new, or belongs to a run with these settings.

    See `claim` for the arguments and errors.
    """
    path = files.path(directory)
    if path.exists() and not path.is_dir():
        raise WorkdirError(
            "`--workdir` must be a directory. Received: "
            f"{str(path)!r}, which is a file"
        )
    run_files.require_places(path)
    config = path / run_files.CONFIG
    if config.exists():
        written = set(_settings(files.read_text(config)))
        wanted = set(_settings(config_text))
        differing = sorted(wanted - written) + sorted(written - wanted)
        if differing:
            here = [line for line in differing if line in wanted]
            there = [line for line in differing if line in written]
            raise WorkdirError(
                f"{str(path)!r} belongs to a run with other settings: it "
                f"has {'; '.join(there) or 'nothing'}, the words say "
                f"{'; '.join(here) or 'nothing'}. Name another --workdir"
            )
    elif path.exists() and any(
        file.name != run_files.LOCK
        and not file.name.startswith(files.TEMPORARY)
        for file in path.iterdir()
    ):
        raise WorkdirError(
            f"{str(path)!r} has files but no {run_files.CONFIG}: it is not a "
            "work directory. Name another --workdir"
        )


def _settings(text: str) -> list[str]:
    """Return the lines of a gin file that can change the result."""
    joined = text.replace("\\\n", " ")
    lines = (" ".join(line.split()) for line in joined.splitlines())
    return [
        line
        for line in lines
        if line and not line.startswith("#") and not _MOVABLE.match(line)
    ]
