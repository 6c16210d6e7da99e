"""Map exceptions to a one-line message and an exit code."""

from collections.abc import Callable
from collections.abc import Iterator
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
    """An error that the user can fix.

    Attributes:
        code: exit code of the command.
    """

    code = 2


class Held(UserMistake):
    """Another process is training in the work directory."""

    code = work_directory.HELD


class Interrupted(Exception):
    """A run was stopped after saving a checkpoint; it can be resumed."""


@contextlib.contextmanager
def mistakes() -> Iterator[None]:
    """Turn errors that the user can fix into a `UserMistake` of one line.

    With RIGL_TF_TRACEBACK in the environment, raise the errors themselves.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, checks.MISTAKES) and not _is_refusal(error):
            raise
        if os.environ.get("RIGL_TF_TRACEBACK"):
            raise
        held = isinstance(error, work_directory.HeldError)
        raise (Held if held else UserMistake)(_one_line(error)) from error


@contextlib.contextmanager
def of_training() -> Iterator[None]:
    """Turn training errors that the user can fix into one line.

    Raises:
        Interrupted: if another worker was lost.
        UserMistake: for unreadable data, damaged files, a loss that is not
            finite, or memory that does not suffice.
    """
    import tensorflow as tf

    from rigl_tf.training import checkpoints
    from rigl_tf.training.hardware import workers

    try:
        yield
    except workers.LostWorker as error:
        raise Interrupted(
            f"{error}; run the same command again to resume"
        ) from error
    except workers.SIGNS_OF_LOSS as error:
        raise Interrupted(
            "lost another worker or a file server; start all workers again to "
            "resume from the last checkpoint"
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
        raise UserMistake(_one_line(error)) from error


def _is_refusal(error: Exception) -> bool:
    """Return whether memory, or a file system of TensorFlow, refused."""
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


def _one_line(error: Exception) -> str:
    """Put an error onto one line; add advice if memory does not suffice."""
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
def stop_at_once() -> Iterator[None]:
    """Let SIGTERM end a command like SIGINT, until training begins."""

    def interrupt(number: int) -> None:
        del number
        raise KeyboardInterrupt

    with signals.handled(interrupt, signal.SIGTERM):
        yield


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into a request to stop.

    A second SIGINT interrupts at once. A second SIGTERM does not: batch systems
    send it to each process and to the group.

    Yields:
        Function that returns whether a request came.
    """
    received: list[int] = []

    def request(number: int) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    with signals.handled(request, signal.SIGTERM, signal.SIGINT):
        yield lambda: bool(received)
