"""What can go wrong with a command -> one line and an exit code."""

import contextlib
import os
import signal
import sys

from rigl_tf import checks
from rigl_tf import config
from rigl_tf import signals
from rigl_tf import workdirs


class UserMistake(Exception):
    """Something that the user can cure."""


class Interrupted(Exception):
    """A run that was stopped and can go on."""


@contextlib.contextmanager
def mistakes():
    """Turn the errors that users can cure into one line."""
    try:
        yield
    except Exception as error:
        if _is_out_of_memory(error):
            raise UserMistake(_out_of_memory(error)) from error
        if not isinstance(error, checks.MISTAKES) and not _is_of_files(error):
            raise
        if os.environ.get("RIGL_TF_TRACEBACK"):
            raise
        raise UserMistake(config.one_line(error)) from error


@contextlib.contextmanager
def of_training():
    """Turn what can go wrong in training, with the user's help, into a line."""
    import tensorflow as tf

    from rigl_tf import checkpoints
    from rigl_tf import runs
    from rigl_tf import workers

    try:
        yield
    except runs.Interrupted as interrupted:
        raise Interrupted(str(interrupted)) from interrupted
    except workers.LostWorker as error:
        raise Interrupted(f"{error}; the same words go on") from error
    except workers.SIGNS_OF_LOSS as error:
        raise Interrupted(
            "lost another worker, or a file server; started again, all go on "
            "from the last checkpoint"
        ) from error
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        if "GetNext" not in str(error):
            raise
        raise UserMistake(
            "the data cannot be read: a damaged record or image (ImageNet "
            f"takes on_damage='skip'): {config.one_line(error)[:300]}"
        ) from error
    except Exception as error:
        known = (
            checkpoints.CheckpointError,
            workdirs.WorkdirError,
            workers.ChiefRefused,
            FloatingPointError,
            OSError,
        )
        if _is_out_of_memory(error):
            raise UserMistake(_out_of_memory(error)) from error
        if not isinstance(error, known) and not _is_of_files(error):
            raise
        raise UserMistake(config.one_line(error)) from error


def _is_of_files(error):
    """Say whether TensorFlow's file systems, such as gs://, refuse."""
    return _is_tensorflow(
        error,
        "FailedPreconditionError",
        "NotFoundError",
        "PermissionDeniedError",
        "ResourceExhaustedError",  # a full disk
        "UnauthenticatedError",
        "UnimplementedError",
    )


def _is_out_of_memory(error):
    """Say whether a tensor, or an array, found no room."""
    if _is_tensorflow(error, "ResourceExhaustedError"):
        return "oom" in str(error).lower() or "memory" in str(error).lower()
    return isinstance(error, MemoryError)


def _out_of_memory(error):
    """Return the cure, and what was too large."""
    return (
        "out of memory; take a smaller model or BATCH_SIZE, or more devices: "
        f"{config.one_line(error)[:300]}"
    )


def _is_tensorflow(error, *names):
    """Say whether it is one of TensorFlow's errors, without importing it."""
    if "tensorflow" not in sys.modules:
        return False
    errors = sys.modules["tensorflow"].errors
    return isinstance(error, tuple(getattr(errors, name) for name in names))


@contextlib.contextmanager
def stop_at_once():
    """Let SIGTERM end a command as SIGINT does, before training begins."""

    def interrupt(number):
        del number
        raise KeyboardInterrupt

    with signals.handled(interrupt, signal.SIGTERM):
        yield


@contextlib.contextmanager
def stop_requests():
    """Turn the first SIGTERM or SIGINT into a request to stop."""
    received = []

    def request(number):
        if received:
            raise KeyboardInterrupt
        received.append(number)

    with signals.handled(request, signal.SIGTERM, signal.SIGINT):
        yield lambda: bool(received)
