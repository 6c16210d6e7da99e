"""Train and evaluate an experiment in a work directory.

With several workers, each of them executes this module. The chief reads and
writes the files; the other workers receive what they need from it.
"""

from collections.abc import Callable
import functools
import os
import pathlib
import time
from typing import Any

from rigl_tf import archives
from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import networks
from rigl_tf.experiments import one_dnn
from rigl_tf.experiments import preflight
from rigl_tf.experiments import result_fields
from rigl_tf.experiments import run_callbacks
from rigl_tf.experiments import work_directory
from rigl_tf.experiments.experiment import Experiment
from rigl_tf.export import keras_file
from rigl_tf.masks import distributions
from rigl_tf.masks import patterns
from rigl_tf.training import checkpoints
from rigl_tf.training import learning_rates
from rigl_tf.training import losses
from rigl_tf.training import metrics
from rigl_tf.training import sparse_trainer
from rigl_tf.training.callbacks import base
from rigl_tf.training.callbacks import mask_statistics
from rigl_tf.training.callbacks import save_checkpoints
from rigl_tf.training.hardware import batch_norms

_TEST_BATCH = 256
# Logits of a test batch: fewer examples, if classes are very many.
_TEST_LOGITS = 2**24
# Above, a confusion matrix takes more than a gigabyte.
_MOST_CLASSES = 10_000


class Run:
    """An experiment with its data set and its trainer, ready to be trained.

    Mistakes in the settings raise here, before any file is written.

    Attributes:
        dataset: the data set.
        trainer: `SparseTrainer` of the network.

    Args:
        experiment: the settings.
    """

    def __init__(self, experiment: Experiment):
        self._experiment = experiment
        strategy = experiment.hardware.create()
        self.dataset: Any = networks.create_dataset(experiment)
        self.dataset.check(experiment.batch_size)
        experiment.hardware.check(strategy, experiment.batch_size)
        preflight.require_classes(experiment, self.dataset)
        self._networks = networks.Networks(experiment, self.dataset)
        with experiment.hardware.scope(strategy):
            net = self._networks.for_training()
            optimizer = _optimizer(experiment, net)
        preflight.require_step(optimizer)
        n_replicas = strategy.num_replicas_in_sync
        most = max(_TEST_LOGITS // self.dataset.n_classes, 1)
        n_rows = min(_TEST_BATCH, most)
        self._test_batch_size = n_replicas * -(-n_rows // n_replicas)
        first, *others = experiment.metrics
        self.trainer = sparse_trainer.SparseTrainer(
            net,
            experiment.mask_updater,
            optimizer,
            losses.SmoothedCrossentropy(experiment.label_smoothing),
            strategy,
            metrics={first: metrics.BY_NAME[first]},
            test_loss=losses.SmoothedCrossentropy(),
            test_metrics={name: metrics.BY_NAME[name] for name in others},
            l2=experiment.l2,
            jit_compile=experiment.hardware.jit_compile,
            n_rows=experiment.batch_size,
            n_test_rows=self._test_batch_size,
        )

    def train(
        self,
        workdir: str | os.PathLike,
        should_stop: Callable[[], bool] | None = None,
        settings: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Train, evaluate, and write the results.

        A work directory with a checkpoint is resumed: weights, masks, optimizer
        slots and metrics end up as in an uninterrupted run.

        Args:
            workdir: existing directory for metrics.jsonl, checkpoints,
                predictions.npz (if wanted), model.keras, masks.npz and, written
                last, result.json.
            should_stop: function that returns whether to stop early.
            settings: settings of the run for the result, see
                `run_settings.collect`; None for an experiment that was not
                configured by gin.

        Returns:
            The dictionary that result.json contains.

        Raises:
            exit_codes.Interrupted: if `should_stop` returned True, here or in
                another worker; a checkpoint is saved first.
            FloatingPointError: if the loss became infinite or NaN.
        """
        began = time.monotonic()
        directory = files.path(workdir)
        trainer, n_steps = self.trainer, self._experiment.total_steps
        tests = self._test_batches()
        statistics = mask_statistics.MaskStatistics(
            trainer.kernels, trainer.sparse_kernels
        )
        callbacks, saver = run_callbacks.create(
            self._experiment, directory, statistics, tests
        )
        trainer.reset_totals(len(callbacks))
        _begin_or_resume(directory, trainer, callbacks, saver, n_steps)
        batches = self._train_batches()
        if not trainer.train(batches, n_steps, callbacks, should_stop):
            saver.fire(trainer, trainer.step, {})
            raise exit_codes.Interrupted(
                f"stopped after step {trainer.step}; run the same command "
                "again to resume"
            )
        trainer.finish()
        means = trainer.evaluate(tests)
        found = self._predictions(tests)

        def write() -> dict[str, Any]:
            if found:
                archives.write(directory / run_files.PREDICTIONS, found)
            result = self._result(statistics, means)
            if settings is not None:
                result["settings"] = settings
            result.update(result_fields.timing_fields(trainer, result, began))
            result.update(keras_file.export(trainer, directory))
            result_fields.write_json(directory / run_files.RESULT, result)
            return result

        return trainer.workers.from_chief(write)

    def evaluate(
        self,
        workdir: str | os.PathLike,
        step: int | None = None,
        per_class: bool = False,
        batch_statistics: bool = False,
    ) -> dict[str, Any]:
        """Evaluate a checkpoint on the whole test split.

        Args:
            workdir: work directory of the run.
            step: step of the checkpoint; None for the newest intact one.
            per_class: whether to return precision and recall of each class.
            batch_statistics: see `batch_norms.use_batch_statistics`.

        Returns:
            A dictionary with "step", "loss", one entry per metric and, with
            `per_class`, "classes".

        Raises:
            FileNotFoundError: if the run has no such checkpoint.
            ValueError: if the network has no batch normalization for
                `batch_statistics`, or too many classes for `per_class`.
        """
        if per_class and self.dataset.n_classes > _MOST_CLASSES:
            raise ValueError(
                f"`per_class` takes data of at most {_MOST_CLASSES:,} classes, "
                "because it counts all pairs of them. Received: "
                f"{self.dataset.n_classes:,} classes; evaluate without it"
            )
        directory = files.path(workdir)
        if batch_statistics:
            batch_norms.use_batch_statistics(self.trainer.model)
        store = checkpoints.Checkpoints(
            directory / run_files.CHECKPOINT_DIRECTORY
        )
        step = checkpoints.resume(self.trainer, store, step=step)
        if step is None:
            raise FileNotFoundError(
                "`evaluate` needs a checkpoint. Received: none in "
                f"{str(directory)!r}; train the run first"
            )
        self.trainer.finish()
        tests = self._test_batches()
        found: dict[str, Any] = {
            "step": step,
            **self.trainer.evaluate(tests),
        }
        if per_class:
            matrix = self.trainer.confusion(tests, self.dataset.n_classes)
            return {**found, "classes": metrics.per_class(matrix)}
        return found

    def _train_batches(self) -> Any:
        """Return the distributed batches of the remaining steps."""
        experiment = self._experiment
        return experiment.hardware.batches(
            self.trainer.strategy,
            functools.partial(
                self.dataset.train,
                experiment.batch_size,
                experiment.seed,
                self.trainer.n_batches,
            ),
        )

    def _test_batches(self) -> Any:
        """Return the distributed test batches."""
        return self._experiment.hardware.batches(
            self.trainer.strategy,
            functools.partial(self.dataset.test, self._test_batch_size),
        )

    def _predictions(self, tests: Any) -> dict[str, Any]:
        """Return the arrays of predictions.npz; empty unless it is wanted."""
        if not self._experiment.predictions:
            return {}
        labels, predicted = self.trainer.predictions(tests)
        return {"labels": labels, "predicted": predicted}

    def _result(
        self,
        statistics: mask_statistics.MaskStatistics,
        means: dict[str, float],
    ) -> dict[str, Any]:
        """Return the fields of result.json that do not depend on the time."""
        experiment, trainer = self._experiment, self.trainer
        report = result_fields.sparsity_report(statistics)
        task, updater = experiment.task, experiment.updater
        sparsity = experiment.sparsity
        if sparsity is None:
            sparsity = round(report["sparsity_achieved"], 4)
        return {
            "task": f"{task}, fake data" if experiment.fake_data else task,
            "method": experiment.method,
            "updater": type(updater).__name__ if updater else None,
            "distribution": _distribution_name(experiment),
            "sparsity": sparsity,
            "pattern": str(patterns.get(experiment.pattern)),
            "width": self._networks.width,
            "input_shape": list(self.dataset.input_shape),
            **report,
            "steps": trainer.step,
            "train_examples": trainer.step * experiment.batch_size,
            **means,
            "test_examples": trainer.n_evaluated,
            "skipped_updates": int(trainer.skipped_updates.numpy()),
            **result_fields.accounting_fields(
                trainer,
                experiment.mask_updater,
                experiment.batch_size,
                self._networks.reference(),
            ),
            "training_multiplier": experiment.training_multiplier,
            "published": experiment.published,
            "label": experiment.label,
            "seed": experiment.seed,
            "start": experiment.start.describe(),
            "replicas": trainer.strategy.num_replicas_in_sync,
            "versions": result_fields.versions(),
            "one_dnn": one_dnn.state(),
        }


def _optimizer(experiment: Experiment, net: Any) -> Any:
    """Create the optimizer for a network and for the length of the run."""
    optimizer = experiment.optimizer()
    preflight.require_rate(optimizer)
    preflight.require_drop_fraction(experiment.mask_updater)
    learning_rates.stretch(optimizer, experiment.training_multiplier)
    return experiment.hardware.adapt(net, optimizer)


def _begin_or_resume(
    workdir: pathlib.Path,
    trainer: sparse_trainer.SparseTrainer,
    callbacks: list[base.Callback],
    saver: save_checkpoints.SaveCheckpoints,
    n_steps: int,
) -> None:
    """Restore the newest checkpoint, or let the callbacks begin a new run."""
    step = checkpoints.resume(trainer, saver.checkpoints, callbacks)
    if step is not None and step > n_steps:
        raise checkpoints.CheckpointError(
            f"{str(workdir)!r} has a checkpoint of step {step}, but the run "
            f"ends at step {n_steps}: it belongs to another run; move it away"
        )

    def prepare() -> None:
        work_directory.forget_after(step, workdir)
        for callback in callbacks if step is None else ():
            callback.on_begin(trainer)

    trainer.workers.from_chief(prepare)


def _distribution_name(experiment: Experiment) -> str:
    """Return what decided the sparsity of each kernel, for the result."""
    if experiment.start.gives_masks(experiment.updater):
        shuffled = experiment.start.shuffle_masks
        return "shuffled_masks" if shuffled else "initial_masks"
    distribution = distributions.get(experiment.distribution)
    return getattr(distribution, "__name__", str(distribution))
