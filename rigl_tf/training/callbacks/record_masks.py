"""Keep the masks of a run, one file per interval."""

import typing

from rigl_tf import run_files
from rigl_tf.masks import storage
from rigl_tf.training.callbacks import base

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


class RecordMasks(base.Callback):
    """Save all masks at step intervals, as `<directory>/<step>.npz`.

    Args:
        directory: where the files go; created if need be.
        interval: steps between two records.
    """

    def __init__(self, directory: typing.Any, interval: int):
        super().__init__(interval)
        self._directory = directory

    def on_begin(self, trainer: "sparse_trainer.SparseTrainer") -> None:
        """Save the first masks."""
        self.on_interval(trainer, 0, {})

    def on_interval(
        self,
        trainer: "sparse_trainer.SparseTrainer",
        step: int,
        means: dict[str, float],
    ) -> None:
        """Save the masks."""
        masks = trainer.dense_masks()
        self._directory.mkdir(parents=True, exist_ok=True)
        storage.save(run_files.numbered(self._directory, step), masks)
