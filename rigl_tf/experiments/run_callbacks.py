"""Create the training callbacks of an experiment."""

import pathlib
from typing import Any

from rigl_tf import run_files
from rigl_tf.experiments.experiment import Experiment
from rigl_tf.training import checkpoints
from rigl_tf.training.callbacks import base
from rigl_tf.training.callbacks import evaluate
from rigl_tf.training.callbacks import log_metrics
from rigl_tf.training.callbacks import mask_statistics
from rigl_tf.training.callbacks import profile
from rigl_tf.training.callbacks import record_masks
from rigl_tf.training.callbacks import save_checkpoints
from rigl_tf.training.callbacks import tensorboard


def create(
    experiment: Experiment,
    workdir: pathlib.Path,
    statistics: mask_statistics.MaskStatistics,
    tests: Any,
) -> tuple[list[base.Callback], save_checkpoints.SaveCheckpoints]:
    """Return all callbacks, and the last of them, which saves checkpoints.

    A checkpoint identifies the state of a callback by its position in the list.

    Args:
        experiment: the settings.
        workdir: path of the work directory.
        statistics: one of the callbacks; the lines of metrics.jsonl contain
            what it counts.
        tests: distributed test batches.
    """
    lines = workdir / run_files.METRICS
    interval = experiment.log_interval
    callbacks: list[base.Callback] = [
        log_metrics.LogMetrics(
            lines,
            interval,
            experiment.total_steps,
            experiment.batch_size,
            statistics.line,
        ),
        statistics,
        # Also if no steps are profiled: positions must not depend on it.
        profile.Profile(
            workdir / run_files.PROFILE_DIRECTORY, experiment.profile_steps
        ),
    ]
    if experiment.evaluate_interval is not None:
        callbacks.append(
            evaluate.Evaluate(lines, experiment.evaluate_interval, tests)
        )
    if experiment.record_masks and experiment.updater is not None:
        directory = workdir / run_files.MASK_DIRECTORY
        callbacks.append(record_masks.RecordMasks(directory, interval))
    if experiment.tensorboard:
        directory = workdir / run_files.TENSORBOARD_DIRECTORY
        callbacks.append(tensorboard.TensorBoard(directory, interval))
    store = checkpoints.Checkpoints(
        workdir / run_files.CHECKPOINT_DIRECTORY,
        experiment.keep_checkpoints,
        experiment.keep_checkpoint_every,
    )
    saver = save_checkpoints.SaveCheckpoints(
        store, experiment.checkpoint_interval, callbacks
    )
    callbacks.append(saver)
    return callbacks, saver
