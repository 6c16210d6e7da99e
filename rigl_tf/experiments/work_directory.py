"""Work directories: whose they are, and that nobody else is in them."""

import contextlib
import fcntl
import os
import re

from absl import logging

from rigl_tf import files
from rigl_tf import run_files


def forget_after(step, workdir):
    """Delete what an interrupted run wrote after its newest checkpoint.

    Of metrics.jsonl that is every line of a later step, and a last line that
    lacks its end; all others stay byte for byte. So do whole lines that are
    none of ours, of which a warning tells. Files are read before the first is
    changed.

    Args:
        step: step of the checkpoint; None for none.
        workdir: path of the work directory.

    Raises:
        files.DamagedFile: metrics.jsonl is no file.
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


def _cut_lines(path, last):
    """Cut the lines of later steps, and half a line at the end."""
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


# Exit code of a command whose work directory another process holds: for the
# time being, says EX_TEMPFAIL.
HELD = 75
# What a run may change when it goes on: where it computes and what it is
# called, not what it computes.
_MOVABLE = re.compile(
    r"(STRATEGY|DEVICES|TPU|JIT_COMPILE|INPUT_BUFFER|PROFILE_STEPS|LABEL) ="
    r"|experiment\.Experiment\.label ="
    r"|hardware\.(?!Hardware\.(precision|sync_batch_norm))"
)


class WorkdirError(ValueError):
    """The directory is another run's, or in use."""


class HeldError(WorkdirError):
    """Another process is training in the directory."""


@contextlib.contextmanager
def claim(directory, config_text):
    """Hold a work directory for one process and one configuration.

    Args:
        directory: work directory; created if it does not exist.
        config_text: the resolved configuration, written to config.gin.

    Raises:
        HeldError: another process holds the directory.
        WorkdirError: it belongs to another configuration, or it is no work
            directory.
        files.DamagedFile: something stands where a run writes its files.
        OSError: it cannot be written.
    """
    directory = files.path(directory)
    require_own(directory, config_text)
    directory.mkdir(parents=True, exist_ok=True)
    with _lock(directory):
        config = directory / run_files.CONFIG
        if not config.exists():
            files.write_text(config, config_text)
        yield directory


@contextlib.contextmanager
def _lock(directory):
    """Hold a directory for this process, if it is a local one."""
    if not files.is_local(directory):  # object stores have no locks
        yield
        return
    # It is made if need be, but what a link leads to is not emptied.
    flags = os.O_RDWR | os.O_CREAT
    place = os.open(directory / run_files.LOCK, flags, 0o666)
    with open(place, encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldError(
                "A work directory takes one process at a time. Received: "
                f"{str(directory)!r}, in which another process is training"
            ) from None
        yield


def require_own(directory, config_text):
    """Require a directory that is new, or of a run with these settings.

    Args and errors: as `claim`.
    """
    directory = files.path(directory)
    if directory.exists() and not directory.is_dir():
        raise WorkdirError(
            "`--workdir` must be a directory. Received: "
            f"{str(directory)!r}, which is a file"
        )
    run_files.require_places(directory)
    config = directory / run_files.CONFIG
    if config.exists():
        written = set(_settings(files.read_text(config)))
        wanted = set(_settings(config_text))
        differing = sorted(wanted - written) + sorted(written - wanted)
        if differing:
            here = [line for line in differing if line in wanted]
            there = [line for line in differing if line in written]
            raise WorkdirError(
                f"{str(directory)!r} belongs to a run with other settings: it "
                f"has {'; '.join(there) or 'nothing'}, the words say "
                f"{'; '.join(here) or 'nothing'}. Name another --workdir"
            )
    elif directory.exists() and any(
        path.name != run_files.LOCK
        and not path.name.startswith(files.TEMPORARY)
        for path in directory.iterdir()
    ):
        raise WorkdirError(
            f"{str(directory)!r} holds files, but no {run_files.CONFIG}: it is "
            "no work directory. Name another --workdir"
        )


def _settings(text):
    """Return the lines of a gin text that say something."""
    joined = text.replace("\\\n", " ")
    lines = (" ".join(line.split()) for line in joined.splitlines())
    return [
        line
        for line in lines
        if line and not line.startswith("#") and not _MOVABLE.match(line)
    ]
