"""Write event files for TensorBoard."""

import functools
import os
import typing

import tensorflow as tf

from rigl_tf.training.callbacks import base

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


class TensorBoard(base.Callback):
    """Write losses, metrics and sparsities for TensorBoard (an extra).

    Args:
        directory: where the event file goes.
        interval: steps between two points.

    Raises:
        ImportError: tensorboard is not installed.
    """

    def __init__(self, directory: os.PathLike, interval: int):
        super().__init__(interval)
        self.require_installed()
        self._directory = str(directory)

    @functools.cached_property
    def _writer(self):
        return tf.summary.create_file_writer(self._directory)

    @staticmethod
    def require_installed() -> None:
        """Raise ImportError, with the cure, if tensorboard is missing."""
        try:
            import tensorboard  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "TENSORBOARD=True needs tensorboard. Install it with: "
                "pip install rigl-tf[tensorboard]"
            ) from error

    def on_interval(
        self,
        trainer: "sparse_trainer.SparseTrainer",
        step: int,
        means: dict[str, float],
    ) -> None:
        """Write the points."""
        with self._writer.as_default(step=step):
            for name, value in means.items():
                tf.summary.scalar(name, value)
            for item in trainer.kernels:
                sparsity = 1 - item.mask.numpy().mean()
                tf.summary.scalar(f"sparsity/{item.path}", sparsity)
        self._writer.flush()
