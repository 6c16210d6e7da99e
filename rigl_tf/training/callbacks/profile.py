"""Profile some steps with TensorFlow's profiler."""

import os
import typing

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.training.callbacks import base

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


def check(steps: tuple[int, int] | None, n_steps: int) -> None:
    """Raise ValueError unless `steps` are the first and last to be profiled.

    Args:
        steps: what was given.
        n_steps: steps of the run.
    """
    if not isinstance(steps, (tuple, list)) or len(steps) != 2:
        raise ValueError(
            "`profile_steps` takes the first and the last step, e.g. "
            f"PROFILE_STEPS=100,110. Received: {steps!r}"
        )
    first, last = steps
    for step in steps:
        checks.at_least("profile_steps", step, 1, integer=True)
    if not first <= last <= n_steps:
        raise ValueError(
            "`profile_steps` must lie in order, within the run. Received: "
            f"{first}, {last} of {n_steps} steps"
        )


class Profile(base.Callback):
    """Profile a range of steps on the chief, for TensorBoard's profile plugin.

    Args:
        directory: where the traces go.
        steps: first and last step to be profiled, or None.
    """

    def __init__(self, directory: os.PathLike, steps: tuple[int, int] | None):
        super().__init__(interval=2**31)
        self._directory = str(directory)
        first, last = steps or (self.interval, self.interval)
        self._begin, self._end = first - 1, last
        self._is_running = False

    def next_step(self, step: int) -> int:
        """Return when to start or stop."""
        stops = [s for s in (self._begin, self._end) if s > step]
        return min(stops, default=step + self.interval)

    def on_begin(self, trainer: "sparse_trainer.SparseTrainer") -> None:
        """Start before the first step, if that is to be profiled."""
        if self._begin == 0:
            self._start()

    def on_interval(
        self,
        trainer: "sparse_trainer.SparseTrainer",
        step: int,
        means: dict[str, float],
    ) -> None:
        """Start or stop."""
        if step == self._begin:
            self._start()
        elif self._is_running:
            tf.profiler.experimental.stop()
            self._is_running = False

    def _start(self):
        tf.profiler.experimental.start(self._directory)
        self._is_running = True
