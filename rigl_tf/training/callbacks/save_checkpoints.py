"""Save checkpoints, and remove old ones."""

from rigl_tf.training import checkpoints
from rigl_tf.training.callbacks import base


class SaveCheckpoints(base.Callback):
    """Save a checkpoint every so many steps; comes last in the list.

    Args:
        checkpoints: `checkpoints.Checkpoints`.
        interval: steps between two.
        callbacks: all callbacks of the run, whose state is saved too.
    """

    activity = "checkpoint"

    def __init__(self, checkpoints, interval, callbacks):
        super().__init__(interval)
        self.checkpoints = checkpoints
        self._callbacks = callbacks

    def on_interval(self, trainer, step, means):
        """Save."""
        arrays = checkpoints.arrays_of(trainer, self._callbacks)
        self.checkpoints.save(step, arrays)
