"""A run in its work directory: begin or go on, train, evaluate, write.

Under several workers, all of them run this: the chief reads and writes, the
others hear from it what they need.
"""

import functools
import time

from rigl_tf import run_files
from rigl_tf.experiments import networks
from rigl_tf.experiments import result_fields
from rigl_tf.experiments import work_directory
from rigl_tf.export import keras_file
from rigl_tf.masks import distributions
from rigl_tf.masks import patterns
from rigl_tf.training import checkpoints
from rigl_tf.training import metrics
from rigl_tf.training.callbacks import evaluate as callback_evaluate
from rigl_tf.training.callbacks import log_metrics
from rigl_tf.training.callbacks import mask_statistics
from rigl_tf.training.callbacks import profile
from rigl_tf.training.callbacks import record_masks
from rigl_tf.training.callbacks import save_checkpoints
from rigl_tf.training.callbacks import tensorboard
from rigl_tf.training.hardware import batch_norms


class Interrupted(Exception):
    """Training was asked to stop; a checkpoint has been saved."""


def train(job, workdir, built=None, should_stop=None, settings=None):
    """Train, evaluate, and write the results.

    Args:
        job: `experiment.Experiment`.
        workdir: path of the work directory.
        built: result of `job.build`, if it was called already.
        should_stop: function that says True when training is to end early.
        settings: settings of the run for the result, see `knobs.settings`, or
            None.

    Returns:
        the dictionary that result.json holds.

    Raises:
        Interrupted: `should_stop` said True, here or in another worker.
        FloatingPointError: the loss became infinite or NaN.
    """
    began = time.monotonic()
    data, trainer = built or job.build()
    test = _test_batches(job, data, trainer)
    statistics = mask_statistics.MaskStatistics(trainer.kernels)
    actions = _callbacks(job, workdir, statistics, test)
    saver = actions[-1]
    trainer.reset_totals(len(actions))
    _begin(workdir, trainer, actions, job.total_steps)
    batches = job.hardware.batches(
        trainer.strategy,
        functools.partial(
            data.train, job.batch_size, job.seed, trainer.n_batches
        ),
    )
    if not trainer.train(batches, job.total_steps, actions, should_stop):
        saver.fire(trainer, trainer.step, {})
        raise Interrupted(
            f"stopped after step {trainer.step}; the same words go on"
        )
    trainer.finish()
    means = trainer.evaluate(test)

    def write():
        result = _result(job, data, trainer, statistics, means)
        if settings is not None:
            result["settings"] = settings
        result.update(result_fields.timing_fields(trainer, result, began))
        result.update(keras_file.export(trainer, workdir))
        result_fields.write_json(workdir / run_files.RESULT, result)
        return result

    return trainer.workers.from_chief(write)


def evaluate(job, workdir, step=None, per_class=False, batch_statistics=False):
    """Evaluate a checkpoint on the whole test split.

    Args:
        job: `experiment.Experiment`.
        workdir: path of the work directory.
        step: which checkpoint; None for the newest intact one.
        per_class: whether to tell precision and recall of each class.
        batch_statistics: see `batch_norms.use_batch_statistics`.

    Returns:
        dictionary with "step", "loss", one entry per metric and, if asked for,
        "classes".

    Raises:
        FileNotFoundError: the run has no such checkpoint.
        ValueError: `batch_statistics` without batch normalisation.
    """
    data, trainer = job.build()
    if batch_statistics:
        batch_norms.use_batch_statistics(trainer.model)
    store = checkpoints.Checkpoints(workdir / run_files.CHECKPOINT_DIRECTORY)
    step = checkpoints.resume(trainer, store, step=step)
    if step is None:
        raise FileNotFoundError(
            "`evaluate` needs a checkpoint. Received: none in "
            f"{str(workdir)!r}; train with the same words first"
        )
    trainer.finish()
    test = _test_batches(job, data, trainer)
    found = {"step": step, **trainer.evaluate(test)}
    if per_class:
        matrix = trainer.confusion(test, data.n_classes)
        found["classes"] = metrics.per_class(matrix)
    return found


def _test_batches(job, data, trainer):
    """Return the distributed test batches."""
    return job.hardware.batches(
        trainer.strategy,
        functools.partial(data.test, job.test_batch_size(trainer.strategy)),
    )


def _begin(workdir, trainer, actions, n_steps):
    """Go on from the newest checkpoint, or begin."""
    step = checkpoints.resume(trainer, actions[-1].checkpoints, actions)
    if step is not None and step > n_steps:
        raise checkpoints.CheckpointError(
            f"{str(workdir)!r} has a checkpoint of step {step}, but the run "
            f"ends at step {n_steps}: it is another run's, move it away"
        )

    def prepare():
        work_directory.forget_after(step, workdir)
        for action in actions if step is None else ():
            action.on_begin(trainer)

    trainer.workers.from_chief(prepare)


def _callbacks(job, workdir, statistics, test):
    """List the callbacks of a run; the last one saves its checkpoints."""
    lines = workdir / run_files.METRICS
    actions = [
        log_metrics.LogMetrics(
            lines,
            job.log_interval,
            job.total_steps,
            job.batch_size,
            statistics.line,
        ),
        statistics,
        # Always there: checkpoints count the callbacks of a run.
        profile.Profile(workdir / "profile", job.profile_steps),
    ]
    if job.evaluate_interval is not None:
        actions.append(
            callback_evaluate.Evaluate(lines, job.evaluate_interval, test)
        )
    if job.record_masks and job.updater is not None:
        actions.append(
            record_masks.RecordMasks(
                workdir / run_files.MASK_DIRECTORY, job.log_interval
            )
        )
    if job.tensorboard:
        actions.append(
            tensorboard.TensorBoard(workdir / "tensorboard", job.log_interval)
        )
    store = checkpoints.Checkpoints(
        workdir / run_files.CHECKPOINT_DIRECTORY,
        job.keep_checkpoints,
        job.keep_checkpoint_every,
    )
    actions.append(
        save_checkpoints.SaveCheckpoints(
            store, job.checkpoint_interval, actions
        )
    )
    return actions


def _result(job, data, trainer, statistics, means):
    distribution = distributions.get(job.distribution)
    distribution = getattr(distribution, "__name__", str(distribution))
    if job.start.gives_masks(job.updater):
        shuffled = job.start.shuffle_masks
        distribution = "shuffled_masks" if shuffled else "initial_masks"
    report = result_fields.sparsity_report(statistics)
    width = networks.find_width(job, data)
    return {
        "task": f"{job.task}, fake data" if job.fake_data else job.task,
        "method": job.method,
        "updater": type(job.updater).__name__ if job.updater else None,
        "distribution": distribution,
        "sparsity": job.sparsity
        if job.sparsity is not None
        else round(report["sparsity_achieved"], 4),
        "pattern": str(patterns.get(job.pattern)),
        "width": width,
        "input_shape": list(data.input_shape),
        **report,
        "steps": trainer.step,
        "train_examples": trainer.step * job.batch_size,
        **means,
        "skipped_updates": int(trainer.skipped_updates.numpy()),
        **result_fields.accounting_fields(
            trainer,
            job.mask_updater,
            job.batch_size,
            networks.reference(job, data, width),
        ),
        "training_multiplier": job.training_multiplier,
        "published": job.published,
        "label": job.label,
        "seed": job.seed,
        "start": job.start.describe(),
        "replicas": trainer.strategy.num_replicas_in_sync,
        "versions": result_fields.versions(),
    }
