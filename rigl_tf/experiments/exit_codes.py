"""What can go wrong with a command -> one line and an exit code."""

import contextlib
import os
import signal
import sys

from rigl_tf import checks
from rigl_tf import files
from rigl_tf.experiments import messages
from rigl_tf.experiments import signals
from rigl_tf.experiments import work_directory


class UserMistake(Exception):
    """Something that the user can cure."""

    code = 2


class Held(UserMistake):
    """Another process is training in the work directory."""

    code = work_directory.HELD


class Interrupted(Exception):
    """A run that was stopped and can go on."""


@contextlib.contextmanager
def mistakes():
    """Turn the errors that users can cure into one line."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, checks.MISTAKES) and not _is_refusal(error):
            raise
        if os.environ.get("RIGL_TF_TRACEBACK"):
            raise
        held = isinstance(error, work_directory.HeldError)
        raise (Held if held else UserMistake)(_line(error)) from error


@contextlib.contextmanager
def of_training():
    """Turn what can go wrong in training, with the user's help, into a line."""
    import tensorflow as tf

    from rigl_tf.experiments import runs
    from rigl_tf.training import checkpoints
    from rigl_tf.training.hardware import workers

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
            f"takes on_damage='skip'): {messages.one_line(error)[:300]}"
        ) from error
    except Exception as error:
        known = (
            checkpoints.CheckpointError,
            files.DamagedFile,
            work_directory.WorkdirError,
            workers.ChiefRefused,
            FloatingPointError,
            OSError,
        )
        if not isinstance(error, known) and not _is_refusal(error):
            raise
        raise UserMistake(_line(error)) from error


def _is_refusal(error):
    """Say whether memory, or a file system of TensorFlow's, refuses."""
    if isinstance(error, MemoryError):
        return True
    if "tensorflow" not in sys.modules:
        return False
    errors = sys.modules["tensorflow"].errors
    return isinstance(
        error,
        (
            errors.FailedPreconditionError,
            errors.NotFoundError,
            errors.PermissionDeniedError,
            errors.ResourceExhaustedError,  # memory, or a disk
            errors.UnauthenticatedError,
            errors.UnimplementedError,
        ),
    )


def _line(error):
    """Put an error onto one line; that of memory with its cure."""
    text = messages.one_line(error)
    of_tensor = type(error).__name__ == "ResourceExhaustedError" and (
        "oom" in text.lower() or "memory" in text.lower()
    )
    if of_tensor or isinstance(error, MemoryError):
        return (
            "out of memory; take a smaller model or BATCH_SIZE, or more "
            f"devices: {text[:300]}"
        )
    return text


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
    """Turn SIGTERM and SIGINT into a request to stop.

    A second SIGINT interrupts at once; a second SIGTERM may come from whoever
    signals all processes of a group, and means the same as the first.
    """
    received = []

    def request(number):
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    with signals.handled(request, signal.SIGTERM, signal.SIGINT):
        yield lambda: bool(received)
