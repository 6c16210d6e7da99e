"""The interface of all callbacks of `SparseTrainer.train`."""

import json
import typing

import numpy as np

from rigl_tf import checks

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


class Callback:
    """Base of callbacks, which act every `interval` steps of training.

    Attributes:
        everywhere: whether it acts in all processes of a run; otherwise only
            the chief acts, and the others wait.
        activity: name under which its time is counted.

    Args:
        interval: steps between two calls of `on_interval`; the last step calls
            too.
    """

    everywhere = False
    activity = "other"

    def __init__(self, interval: int):
        checks.at_least("interval", interval, 1, integer=True)
        self.interval = interval

    def next_step(self, step: int) -> int:
        """Return the next step after `step` at which it acts."""
        return (step // self.interval + 1) * self.interval

    def fire(
        self,
        trainer: "sparse_trainer.SparseTrainer",
        step: int,
        means: dict[str, float],
    ) -> None:
        """Call `on_interval` in the chief, or everywhere if set so."""
        if self.everywhere:
            self.on_interval(trainer, step, means)
        else:
            trainer.workers.from_chief(
                lambda: self.on_interval(trainer, step, means)
            )

    def on_begin(self, trainer: "sparse_trainer.SparseTrainer") -> None:
        """Act before the first step of a new run; override it.

        Called in the chief alone.

        Args:
            trainer: the `SparseTrainer`.
        """

    def on_interval(
        self,
        trainer: "sparse_trainer.SparseTrainer",
        step: int,
        means: dict[str, float],
    ) -> None:
        """Act on the steps since the last call; override it.

        Args:
            trainer: the `SparseTrainer`.
            step: optimizer steps completed, int.
            means: mean loss and metrics of the steps since the last call.
        """

    def on_update(
        self, trainer: "sparse_trainer.SparseTrainer", step: int
    ) -> None:
        """Act on a mask update, made after `step` steps; override it.

        `trainer.last_update_report` holds the number of grown connections and
        the norm of their dense gradient, one row per kernel.
        """

    def state(self) -> dict[str, np.ndarray]:
        """Return arrays by name to be kept in checkpoints; override it."""
        return {}

    def growing_state(self) -> list[str]:
        """Return the names in `state` of vectors of any length; override it."""
        return []

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Restore the arrays that `state` returned; override it."""


def append_json_line(path: typing.Any, record: dict[str, typing.Any]) -> None:
    """Append one JSON object to a file of them."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")
