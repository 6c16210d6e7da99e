"""Save checkpoints, and remove old ones."""

from collections.abc import Sequence
import typing

from rigl_tf.training import checkpoints
from rigl_tf.training.callbacks import base

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


class SaveCheckpoints(base.Callback):
    """Save checkpoints at step intervals; must be the last callback.

    Args:
        checkpoints: `checkpoints.Checkpoints`.
        interval: steps between two.
        callbacks: all callbacks of the run, whose state is saved too.
    """

    activity = "checkpoint"

    def __init__(
        self,
        checkpoints: checkpoints.Checkpoints,
        interval: int,
        callbacks: Sequence[base.Callback],
    ):
        super().__init__(interval)
        self.checkpoints = checkpoints
        self._callbacks = callbacks

    def on_interval(
        self,
        trainer: "sparse_trainer.SparseTrainer",
        step: int,
        means: dict[str, float],
    ) -> None:
        """Save."""
        arrays = checkpoints.arrays_of(trainer, self._callbacks)
        self.checkpoints.save(step, arrays)
