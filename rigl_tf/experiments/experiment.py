"""One experiment, from configuration to result: what gin binds."""

import collections.abc
import dataclasses
import functools

from rigl_tf import accounting
from rigl_tf import checks
from rigl_tf import datasets
from rigl_tf import files
from rigl_tf import updaters
from rigl_tf.accounting import widths
from rigl_tf.experiments import networks
from rigl_tf.experiments import preflight
from rigl_tf.experiments import published_accuracies
from rigl_tf.experiments import result_fields
from rigl_tf.experiments import runs
from rigl_tf.experiments import starts
from rigl_tf.masks import patterns
from rigl_tf.training import learning_rates
from rigl_tf.training import losses
from rigl_tf.training import metrics
from rigl_tf.training import sparse_trainer
from rigl_tf.training.callbacks import profile
from rigl_tf.training.callbacks import tensorboard
from rigl_tf.training.hardware import strategies

_TEST_BATCH = 256
# More would take years, and counting them hours.
_MOST_STEPS = 10**9
# About the largest number of float32.
_LARGEST = 3e38
_WIDEST = 64
_OPTIONAL = ("evaluate_interval", "keep_checkpoint_every")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Train one model with one method on one data set.

    Attributes:
        task: name of the task, for the result.
        method: name of the method, for the result.
        model: function `(input_shape, n_classes) -> keras.Model` of logits; of
            `[inputs, *states] -> [logits, *states]`, if states are to go on
            from one batch to the next.
        dataset: function that returns a data set, see `rigl_tf.datasets`.
        updater: `updaters.MaskUpdater`, or None for dense training.
        optimizer: function that returns a Keras optimizer.
        sparsity: overall fraction of zeros S, in [0, 1); 0 for dense training;
            None for that of the masks to begin with.
        distribution: name or function, see `rigl_tf.masks.distributions`.
        train_steps: optimizer steps, at least 1; 10^9 after
            `training_multiplier` at most.
        batch_size: examples in a global batch.
        custom_sparsities: fixed sparsities, see `masking.sparsify`.
        masked_layers: kernels with masks, see `masking.sparsify`.
        dense_layers: kernels without masks, see `masking.sparsify`.
        pattern: see `masking.sparsify`.
        width: width multiplier of the network, above 0 and at most 64, if
            `model` takes one;
            "small_dense" for a dense network of the sparse one's size,
            "big_sparse" for a sparse one of the dense one's, see
            `widths.rival_width`.
        start: weights and masks to begin with, see `starts.Start`.
        l2: weight decay wd, `wd/2 * sum(w^2)` over kernels.
        label_smoothing: eps of the training loss, in [0, 1), see
            `losses.SmoothedCrossentropy`; tests are not smoothed.
        metrics: names of what is measured of predictions, of
            `metrics.BY_NAME`; in training the first alone.
        training_multiplier: m, above 0: steps, learning rate and the window of
            mask updates are stretched by it, the update interval is not.
        log_interval: steps between two lines of metrics.jsonl.
        evaluate_interval: steps between two evaluations; None for the end only.
        checkpoint_interval: steps between two checkpoints.
        keep_checkpoints: number of newest checkpoints to keep, at least 1.
        keep_checkpoint_every: also keep those of every so many steps, or None.
        record_masks: whether to keep the masks every `log_interval` steps.
        tensorboard: whether to write event files for TensorBoard.
        seed: seed of weights, masks and the order of data, below 2^32.
        hardware: what to compute on, see `strategies.Hardware`.
        profile_steps: first and last step to be profiled, or None.
        published: published row that the run reproduces, or None; see
            `published_accuracies.rows`.
        label: name by which other runs find this one, or None.
        fake_data: whether to train on random examples of the data set's
            shapes, which needs not be there, to measure speed.
    """

    task: str
    method: str
    model: collections.abc.Callable
    dataset: collections.abc.Callable
    updater: updaters.MaskUpdater | None
    optimizer: collections.abc.Callable
    sparsity: float | None
    distribution: str | collections.abc.Callable
    train_steps: int
    batch_size: int
    custom_sparsities: dict | None = None
    masked_layers: collections.abc.Sequence | None = None
    dense_layers: collections.abc.Sequence = ()
    pattern: str | patterns.Pattern = "unstructured"
    width: float | str = 1.0
    start: starts.Start = starts.Start()
    l2: float = 0.0
    label_smoothing: float = 0.0
    metrics: collections.abc.Sequence = ("accuracy", "top_5_accuracy")
    training_multiplier: float = 1
    log_interval: int = 100
    evaluate_interval: int | None = None
    checkpoint_interval: int = 1000
    keep_checkpoints: int = 2
    keep_checkpoint_every: int | None = None
    record_masks: bool = False
    tensorboard: bool = False
    seed: int = 0
    hardware: strategies.Hardware = strategies.Hardware()
    profile_steps: tuple[int, int] | None = None
    published: str | None = None
    label: str | None = None
    fake_data: bool = False

    def __post_init__(self):
        for name in (
            "train_steps",
            "batch_size",
            "log_interval",
            "evaluate_interval",
            "checkpoint_interval",
            "keep_checkpoints",
            "keep_checkpoint_every",
        ):
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                checks.at_least(name, value, 1, integer=True)
        checks.between("seed", self.seed, 0, 2**32 - 1, integer=True)
        checks.between("l2", self.l2, 0, _LARGEST)
        checks.fraction("label_smoothing", self.label_smoothing, False)
        checks.above("training_multiplier", self.training_multiplier, 0)
        if self.train_steps > _MOST_STEPS / self.training_multiplier:
            raise ValueError(
                f"A run takes at most {_MOST_STEPS:,} steps. Received: "
                f"train_steps={self.train_steps}, "
                f"training_multiplier={self.training_multiplier}"
            )
        if not self.metrics:
            raise ValueError("`metrics` must name at least one. Received: none")
        for name in self.metrics:
            checks.one_of("metrics", name, metrics.BY_NAME)
        if self.sparsity is not None:
            checks.fraction("sparsity", self.sparsity, include_one=False)
        if self.width not in widths.RULES:
            checks.above("width", self.width, 0)
            checks.between("width", self.width, 0, _WIDEST)
        patterns.get(self.pattern)
        for name in ("model", "dataset", "optimizer"):
            checks.function(name, getattr(self, name))
        for name, kind in (
            ("hardware", strategies.Hardware),
            ("start", starts.Start),
        ):
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"`{name}` must be a `{kind.__name__}`. Received: "
                    f"{name}={getattr(self, name)!r}"
                )
        for name in ("record_masks", "tensorboard", "fake_data"):
            checks.one_of(name, getattr(self, name), (True, False))
        if self.tensorboard:
            tensorboard.TensorBoard.require_installed()
        if self.profile_steps is not None:
            profile.check(self.profile_steps, self.total_steps)
        if self.published is not None:
            published_accuracies.check(self.published)
        if not isinstance(self.label, str | None):
            raise ValueError(
                "`label` must be a string (LABEL). "
                f"Received: label={self.label!r}"
            )
        networks.check(self)

    @property
    def total_steps(self):
        """Optimizer steps of the run, after `training_multiplier`."""
        return max(int(self.train_steps * self.training_multiplier), 1)

    @functools.cached_property
    def mask_updater(self):
        """The updater of this run, with steps for its fractions; or None."""
        if not isinstance(self.updater, updaters.MaskUpdater):
            return self.updater  # refused by `networks.check`, if not None
        stretched = self.updater.stretched(self.training_multiplier)
        return stretched.resolved(self.total_steps, self.sparsity)

    def _data(self):
        data = self.dataset()
        return datasets.FakeDataset(data) if self.fake_data else data

    def build(self):
        """Build data set and trainer; mistakes show here, nothing is written.

        Returns:
            `(dataset, SparseTrainer)`.
        """
        strategy = self.hardware.create()
        data = self._data()
        data.check(self.batch_size)
        self.hardware.check(strategy, self.batch_size)
        with self.hardware.scope(strategy):
            net = networks.build(self, data)
            optimizer = self.optimizer()
            preflight.require_rate(optimizer)
            preflight.require_drop_fraction(self.mask_updater)
            learning_rates.stretch(optimizer, self.training_multiplier)
            optimizer = self.hardware.adapt(net, optimizer)
        preflight.require_step(optimizer)
        trainer = sparse_trainer.SparseTrainer(
            net,
            self.mask_updater,
            optimizer,
            losses.SmoothedCrossentropy(self.label_smoothing),
            strategy,
            metrics={self.metrics[0]: metrics.BY_NAME[self.metrics[0]]},
            test_loss=losses.SmoothedCrossentropy(),
            test_metrics={n: metrics.BY_NAME[n] for n in self.metrics[1:]},
            l2=self.l2,
            jit_compile=self.hardware.jit_compile,
            n_rows=self.batch_size,
            n_test_rows=self.test_batch_size(strategy),
        )
        return data, trainer

    def test_batch_size(self, strategy):
        """Return the number of examples in a test batch, about 256."""
        n_replicas = strategy.num_replicas_in_sync
        return n_replicas * -(-_TEST_BATCH // n_replicas)

    def train_and_evaluate(
        self, workdir, built=None, should_stop=None, settings=None
    ):
        """Train, evaluate, and write the results.

        A work directory with a checkpoint is resumed: every weight, mask, slot
        and metric comes out as if nothing had happened.

        Args:
            workdir: existing directory for metrics.jsonl, checkpoints,
                model.keras, masks.npz and, written last, result.json.
            built: result of `build`, if it was called already.
            should_stop: function that says True when training is to end early.
            settings: what `config.settings` says of this experiment, for the
                result; None for an experiment that was not configured by gin.

        Returns:
            the dictionary that result.json holds.

        Raises:
            runs.Interrupted: `should_stop` said True.
            FloatingPointError: the loss became infinite or NaN.
        """
        return runs.train(
            self, files.path(workdir), built, should_stop, settings
        )

    def evaluate(self, workdir, **options):
        """Evaluate a checkpoint; see `runs.evaluate`.

        Args:
            workdir: work directory of the run.
            **options: step, per_class, batch_statistics.
        """
        return runs.evaluate(self, files.path(workdir), **options)

    def count(self, rule="exact"):
        """Count what the run will cost; reads no data, draws no masks.

        Args:
            rule: "exact" or "published", see `accounting.count`.

        Returns:
            dictionary with "layers" (name, shape, target, sparsity, n_active),
            "costs", the `accounting.LayerCount` of each layer, and the fields
            of `result_fields.model_fields` and `result_fields.training_fields`.
        """
        data = self._data()
        width = networks.find_width(self, data)
        net = networks.plain(self, data, width)
        targets = networks.planned_sparsities(self, net)
        count = accounting.count(net, rule=rule, sparsities=targets)
        reference = networks.reference(self, data, width, rule)
        return {
            "layers": result_fields.planned_layers(net, targets),
            "costs": result_fields.cost_rows(count),
            **result_fields.model_fields(count, reference),
            **result_fields.training_fields(
                count,
                self.mask_updater,
                self.total_steps,
                self.batch_size,
                reference,
            ),
        }
