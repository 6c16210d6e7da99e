"""Callbacks that `SparseTrainer.train` calls at step intervals."""

from rigl_tf.training.callbacks.base import Callback
from rigl_tf.training.callbacks.evaluate import Evaluate
from rigl_tf.training.callbacks.log_metrics import LogMetrics
from rigl_tf.training.callbacks.mask_statistics import MaskStatistics
from rigl_tf.training.callbacks.profile import Profile
from rigl_tf.training.callbacks.record_masks import RecordMasks
from rigl_tf.training.callbacks.save_checkpoints import SaveCheckpoints
from rigl_tf.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "Callback",
    "Evaluate",
    "LogMetrics",
    "MaskStatistics",
    "Profile",
    "RecordMasks",
    "SaveCheckpoints",
    "TensorBoard",
]
