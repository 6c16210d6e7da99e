"""The settings of one experiment, which gin configuration files bind."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
from typing import Any
from typing import get_args

from rigl_tf import checks
from rigl_tf import updaters
from rigl_tf.accounting import widths
from rigl_tf.experiments import published_accuracies
from rigl_tf.experiments import starts
from rigl_tf.layers import conversion
from rigl_tf.masks import patterns
from rigl_tf.training import metrics
from rigl_tf.training.callbacks import profile
from rigl_tf.training.callbacks import tensorboard
from rigl_tf.training.hardware import strategies
from rigl_tf.updaters import updates_of_run

# More steps would take years, and counting their cost hours.
_MOST_STEPS = 10**9
# Masks of changing sparsity are counted update by update.
_MOST_UPDATES = 10**5
# About the largest number of float32.
_LARGEST = 3e38
_WIDEST = 64
# Settings that are counts of 1 or more, and those of them that may be None.
_COUNTS = (
    "train_steps",
    "batch_size",
    "log_interval",
    "evaluate_interval",
    "checkpoint_interval",
    "keep_checkpoints",
    "keep_checkpoint_every",
)
_OPTIONAL = ("evaluate_interval", "keep_checkpoint_every")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Settings for training one model with one method on one data set.

    `runs.Run` trains and evaluates an experiment.

    Attributes:
        task: name of the task, for the result.
        method: name of the method, for the result.
        model: function `(input_shape, n_classes) -> keras.Model`. The model
            returns logits; a model that carries states from batch to batch maps
            `[inputs, *states]` to `[logits, *states]`.
        dataset: function that returns a data set, see `rigl_tf.datasets`.
        updater: `updaters.MaskUpdater`, or None for dense training.
        optimizer: function that returns a Keras optimizer.
        sparsity: overall fraction of zeros S, in [0, 1); 0 for dense training;
            None for the sparsity of given masks, see `start`.
        distribution: name or function, see `rigl_tf.masks.distributions`.
        train_steps: number of optimizer steps before `training_multiplier`, at
            least 1; at most 10^9 after it.
        batch_size: number of examples in a global batch.
        custom_sparsities: fixed sparsities, see `masking.sparsify`.
        masked_layers: kernels with masks, see `masking.sparsify`.
        dense_layers: kernels without masks, see `masking.sparsify`.
        pattern: pattern of the masks, see `masking.sparsify`.
        compute: "masked", "sparse", "block" or "auto", see `masking.sparsify`.
        width: width multiplier of the network, above 0 and at most 64; `model`
            must take the argument `width` unless it is 1. "small_dense" for a
            dense network with as many parameters as the sparse network,
            "big_sparse" for a sparse network with as many as the dense network,
            see `widths.rival_width`.
        start: weights and masks to begin with, see `starts.Start`.
        l2: weight decay wd, `wd/2 * sum(w^2)` over kernels.
        label_smoothing: eps of the training loss, in [0, 1), see
            `losses.SmoothedCrossentropy`; the test loss is not smoothed.
        metrics: names of metrics in `metrics.BY_NAME`. Training computes only
            the first one, evaluation computes all.
        training_multiplier: m, above 0: the number of steps, the learning-rate
            schedule and the steps of mask updates are stretched by m; the
            update interval is not.
        log_interval: steps between two lines of metrics.jsonl.
        evaluate_interval: steps between two evaluations; None for the end only.
        checkpoint_interval: steps between two checkpoints.
        keep_checkpoints: number of newest checkpoints to keep, at least 1.
        keep_checkpoint_every: also keep checkpoints whose step is a multiple of
            this number, or None.
        record_masks: whether to write the masks every `log_interval` steps.
        tensorboard: whether to write event files for TensorBoard.
        predictions: whether to write the class that is predicted for each test
            example.
        seed: seed of weights, masks and the order of data, below 2^32.
        hardware: devices and precision, see `strategies.Hardware`.
        profile_steps: first and last step to profile, or None.
        published: published row that the run reproduces, or None; see
            `published_accuracies.rows`.
        label: name by which lines of sweeps refer to this run, or None.
        fake_data: whether to train on random examples in the shapes of the data
            set, which is not read, to measure speed.
    """

    task: str
    method: str
    model: Callable[..., Any]
    dataset: Callable[[], Any]
    updater: updaters.MaskUpdater | None
    optimizer: Callable[[], Any]
    sparsity: float | None
    distribution: str | Callable[..., dict[str, float]]
    train_steps: int
    batch_size: int
    custom_sparsities: Mapping[Any, float] | None = None
    masked_layers: Sequence[Any] | None = None
    dense_layers: Sequence[Any] = ()
    pattern: str | patterns.Pattern = "unstructured"
    compute: conversion.Compute = "masked"
    width: float | str = 1.0
    start: starts.Start = starts.Start()
    l2: float = 0.0
    label_smoothing: float = 0.0
    metrics: Sequence[str] = ("accuracy", "top_5_accuracy")
    training_multiplier: float = 1
    log_interval: int = 100
    evaluate_interval: int | None = None
    checkpoint_interval: int = 1000
    keep_checkpoints: int = 2
    keep_checkpoint_every: int | None = None
    record_masks: bool = False
    tensorboard: bool = False
    predictions: bool = False
    seed: int = 0
    hardware: strategies.Hardware = strategies.Hardware()
    profile_steps: tuple[int, int] | None = None
    published: str | None = None
    label: str | None = None
    fake_data: bool = False

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_functions_and_objects()
        self._check_records()
        self._check_method()

    def _check_numbers(self) -> None:
        for name in _COUNTS:
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
            raise ValueError("`metrics` must not be empty. Received: ()")
        for name in self.metrics:
            checks.one_of("metrics", name, metrics.BY_NAME)
        if self.sparsity is not None:
            checks.fraction("sparsity", self.sparsity, include_one=False)
        if self.width not in widths.RULES:
            checks.above("width", self.width, 0)
            checks.between("width", self.width, 0, _WIDEST)

    def _check_functions_and_objects(self) -> None:
        patterns.get(self.pattern)
        choices = get_args(conversion.Compute)
        checks.one_of("compute", self.compute, choices)
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

    def _check_records(self) -> None:
        """Check the settings of additional files and of the result's labels."""
        for name in ("record_masks", "tensorboard", "predictions", "fake_data"):
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

    def _check_method(self) -> None:
        """Check that method, network and length of the run fit together."""
        updater = self.mask_updater
        if updater is None:
            if self.sparsity != 0 and self.width != "small_dense":
                raise ValueError(
                    "Dense training has no masks: leave SPARSITY at 0, or name "
                    "a method such as methods/rigl. Received: "
                    f"sparsity={self.sparsity}"
                )
            self.start.check(None, self.sparsity)
            return
        if self.width == "small_dense":
            raise ValueError(
                "A Small-Dense network is trained without masks (updater "
                f"None). Received: updater={updater!r}"
            )
        if not isinstance(updater, updaters.MaskUpdater):
            raise TypeError(
                "`updater` must be None or a `MaskUpdater`, in gin "
                f"@module.Method(). Received: updater={updater!r}"
            )
        self.start.check(updater, self.sparsity)
        updater.check_pattern(patterns.get(self.pattern))
        if self.compute != "masked":
            updater.check_sparse()
            self._check_sparse_start()
        _check_update_steps(updater, self.total_steps)

    def _check_sparse_start(self) -> None:
        start = self.start
        if start.masks is not None or start.sparse_init is not None:
            raise ValueError(
                "Truly sparse layers draw their own connections and weights: "
                f"COMPUTE={self.compute!r} goes without INITIAL_MASKS and "
                f"SPARSE_INIT. Received: {start}"
            )

    @property
    def total_steps(self) -> int:
        """Number of optimizer steps, `training_multiplier` included."""
        return max(int(self.train_steps * self.training_multiplier), 1)

    @functools.cached_property
    def mask_updater(self) -> updaters.MaskUpdater | None:
        """The updater for the length and sparsity of this run, or None."""
        if not isinstance(self.updater, updaters.MaskUpdater):
            return self.updater  # None, or refused by `_check_method`
        stretched = self.updater.stretched(self.training_multiplier)
        return stretched.resolved(self.total_steps, self.sparsity)


def _check_update_steps(updater: updaters.MaskUpdater, n_steps: int) -> None:
    """Raise ValueError if the method is not finished when training ends."""
    end = getattr(updater, "update_end_step", None)
    if end is not None and end > n_steps:
        raise ValueError(
            "`update_end_step` must not lie after the last step of the run. "
            f"Received: update_end_step={end}, train_steps={n_steps} (set "
            "UPDATE_END_STEP or PRUNE_END_STEP, and TRAIN_STEPS)"
        )
    if updater.needs.varying_sparsity:
        n_updates = updates_of_run.count(updater, n_steps)
        if n_updates > _MOST_UPDATES:
            raise ValueError(
                f"Masks of changing sparsity take at most {_MOST_UPDATES:,} "
                f"updates. Received: settings for {n_updates:,} (increase "
                "UPDATE_INTERVAL or PRUNE_INTERVAL)"
            )
    reached = updates_of_run.final_progress(updater, n_steps)
    if reached < 1:
        raise ValueError(
            "Pruning must end before training does. Received: settings "
            f"that miss {1 - reached:.0%} of the zeros within "
            f"train_steps={n_steps} (set PRUNE_BEGIN_STEP, PRUNE_END_STEP, "
            "PRUNE_INTERVAL, UPDATE_INTERVAL)"
        )
