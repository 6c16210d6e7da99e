"""Evaluate on the test data while training."""

import os
import typing

from rigl_tf.training.callbacks import base

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


class Evaluate(base.Callback):
    """Evaluate at step intervals and append the result to a file.

    Args:
        path: the file, usually `metrics.jsonl`.
        interval: steps between two evaluations.
        dataset: finite `tf.data.Dataset`, or distributed one.
    """

    everywhere = True
    activity = "evaluate"

    def __init__(self, path: os.PathLike, interval: int, dataset: typing.Any):
        super().__init__(interval)
        self._path = path
        self._dataset = dataset

    def on_interval(
        self,
        trainer: "sparse_trainer.SparseTrainer",
        step: int,
        means: dict[str, float],
    ) -> None:
        """Evaluate and write the line."""
        means = trainer.evaluate(self._dataset)
        record: dict[str, float] = {"step": step}
        record.update({f"test_{name}": v for name, v in means.items()})
        trainer.workers.from_chief(
            lambda: base.append_json_line(self._path, record)
        )
