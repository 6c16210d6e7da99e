"""Measure how long each activity of a run takes."""

import collections
from collections.abc import Iterator
import contextlib
import time
import typing

import tensorflow as tf


def timed_next(iterator: typing.Any) -> tuple[typing.Any, tf.Tensor]:
    """Take a batch, and return it with the seconds spent waiting for it."""
    began = tf.timestamp()
    with tf.control_dependencies([began]):
        batch = next(iterator)
    with tf.control_dependencies(tf.nest.flatten(batch, True)):
        return batch, tf.timestamp() - began


class Stopwatch:
    """Seconds per activity: "input", "step", "update", "checkpoint", ..."""

    def __init__(self):
        self.seconds: dict[str, float] = collections.defaultdict(float)

    @contextlib.contextmanager
    def measure(self, activity: str) -> Iterator[None]:
        """Add the time of the block to an activity."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[activity] += time.monotonic() - began

    def move(self, source: str, target: str, seconds: float) -> None:
        """Move seconds from one activity to another."""
        self.seconds[source] -= seconds
        self.seconds[target] += seconds

    def since(self, before: dict[str, float]) -> dict[str, float]:
        """Return the seconds per activity since an earlier copy of `seconds`.

        Args:
            before: mapping from activity to seconds.

        Returns:
            dictionary, milliseconds kept.
        """
        return {
            activity: round(max(total - before.get(activity, 0.0), 0.0), 3)
            for activity, total in sorted(self.seconds.items())
        }


class Pace:
    """Number of steps per compiled call, kept near half a second.

    Longer calls save time, but delay requests to stop.
    """

    def __init__(self):
        self.n_steps = 8

    def __enter__(self):
        self._began = time.monotonic()

    def __exit__(self, *_):
        seconds = time.monotonic() - self._began
        if seconds > 1.0:
            self.n_steps = max(self.n_steps // 2, 1)
        elif seconds < 0.25:
            self.n_steps = min(self.n_steps * 2, 4096)
