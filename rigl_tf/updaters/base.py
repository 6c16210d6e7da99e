"""The interface of all mask updaters."""

import copy
import dataclasses
import numbers
import typing

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks import patterns
from rigl_tf.updaters import protocol
from rigl_tf.updaters import schedules
from rigl_tf.updaters import serialization
from rigl_tf.updaters import update_times

# Fields that may be fractions of the run.
_STEPS = ("update_begin_step", "update_end_step", "prune_step")


def is_fraction(value: object) -> bool:
    """Return whether a field holds a fraction of the run, not a step."""
    is_real = isinstance(value, numbers.Real)
    return is_real and not isinstance(value, numbers.Integral)


@keras.saving.register_keras_serializable(package="rigl_tf")
@dataclasses.dataclass(kw_only=True)
class MaskUpdater:
    """Base of all methods; by itself it never changes a mask.

    The fields `update_begin_step`, `update_end_step` and `prune_step` are
    optimizer steps (int), or fractions of the run (float, in [0, 1]) that
    become steps when its length is known.

    Attributes:
        seed: seed of all random choices of the method.
    """

    seed: int = 0

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop; override it."""
        return protocol.Needs()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # So that Keras can load the configuration of any method by its name.
        package = cls.__module__.partition(".")[0]
        keras.saving.register_keras_serializable(package)(cls)

    def __post_init__(self):
        """Validate the fields; ends the `super().__post_init__()` chain."""
        self._target_sparsity = None
        if not self.has_fractions:
            self._plan()
            return
        self._check_fractions()
        unknown = update_times.UnknownWindow()
        self._window = self._drop_fraction = self._progress = unknown

    def _check_fractions(self):
        """Validate the fields that do not depend on the length of the run."""
        fractions = self._fractions()
        for name, value in fractions.items():
            if not 0 <= value <= 1:
                raise ValueError(
                    f"`{name}` must be a step (a whole number), or a fraction "
                    f"of the run in [0, 1]. Received: {name}={value}"
                )
        begin = getattr(self, "update_begin_step", 0)
        checks.at_least("update_begin_step", begin, 0)
        end = fractions.get("update_end_step", 1.0)
        if end == 0 or fractions.get("update_begin_step", -1.0) >= end:
            raise ValueError(
                "`update_end_step` must lie after `update_begin_step`. "
                f"Received: {begin} and {end}"
            )
        interval = getattr(self, "update_interval", 1)
        checks.at_least("update_interval", interval, 1, integer=True)

    @property
    def has_fractions(self) -> bool:
        """Whether steps are given as fractions of a run of unknown length."""
        return bool(self._fractions())

    def _fractions(self):
        """Map the fields that are fractions of the run to their values."""
        values = {name: getattr(self, name, None) for name in _STEPS}
        return {n: float(v) for n, v in values.items() if is_fraction(v)}

    def _plan(self):
        """Set up window and schedules once all steps are known; override it."""

    def _steps_of(self, fractions, n_steps):
        """Return the steps that fractions of a run of `n_steps` stand for."""
        steps = {name: int(f * n_steps) for name, f in fractions.items()}
        if "update_end_step" in steps:  # the shortest window has two steps
            begin = getattr(self, "update_begin_step", 0)
            begin = steps.get("update_begin_step", begin)
            steps["update_end_step"] = max(steps["update_end_step"], begin + 1)
        return steps

    def resolved(
        self, n_steps: int, sparsity: float | None = None
    ) -> typing.Self:
        """Return the same method, state shared, for a run of known length.

        Its fractions become steps: `floor(fraction * n_steps)`.

        Args:
            n_steps: optimizer steps of the whole run.
            sparsity: overall target sparsity S, if it is known.

        Raises:
            ValueError: the window does not fit the number of steps.
        """
        fractions = self._fractions()
        if not fractions and sparsity == self._target_sparsity:
            return self
        clone = copy.copy(self)
        clone._target_sparsity = sparsity
        for name, step in self._steps_of(fractions, n_steps).items():
            setattr(clone, name, step)
        clone._plan()
        return clone

    def for_model(self, model: keras.Model) -> typing.Self:
        """Return this updater, or a copy if its state belongs to another model.

        Args:
            model: Keras model that is to be trained.
        """
        if getattr(self, "_owner", None) not in (None, id(model)):
            return dataclasses.replace(self).for_model(model)
        self._owner = id(model)
        return self

    def get_config(self) -> dict[str, typing.Any]:
        """Return the fields, without the state, as Keras objects do."""
        return serialization.config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, typing.Any]) -> typing.Self:
        """Build an updater from `get_config`'s dictionary."""
        return serialization.from_config(cls, config)

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the state; called once, before training.

        Args:
            kernels: list of `kernel_masks.MaskedKernel`.
        """
        del kernels

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the state variables, for checkpoints."""
        return {}

    def check_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Raise ValueError if the method cannot work with the optimizer."""
        del optimizer

    def check_pattern(self, pattern: patterns.Pattern) -> None:
        """Raise ValueError if the method cannot work with a pattern."""
        del pattern

    def check_sparse(self) -> None:
        """Raise ValueError unless the method can train truly sparse layers."""
        raise ValueError(
            "Truly sparse layers (`sparse.SparseDense`) are trained by methods "
            "without scores or state of inactive weights: RigL, GSE, SET "
            f"and Static. Received: {type(self).__name__}; use it with masks "
            '(`compute="masked"`)'
        )

    def check_loss(self, loss: typing.Any) -> None:
        """Raise ValueError if the method cannot work with the loss.

        Args:
            loss: Keras loss, its name, a function `(y, y_pred) -> loss`, or a
                structure of these.
        """
        del loss

    def stretched(self, multiplier: float) -> typing.Self:
        """Return the same method for a run that is m times as long.

        The first and last steps of its updates are multiplied, the interval is
        not, and schedules slow down, as with the original code's
        `training_steps_multiplier`.

        Args:
            multiplier: m, above 0; 1 returns the updater itself.
        """
        if multiplier == 1:
            return self
        return dataclasses.replace(self, **self.stretched_fields(multiplier))

    def stretched_fields(self, multiplier: float) -> dict[str, typing.Any]:
        """Map the fields that `stretched` changes to their new values."""
        values = {name: getattr(self, name, None) for name in _STEPS}
        changed: dict[str, typing.Any] = {
            name: int(value * multiplier)
            for name, value in values.items()
            if value is not None and not is_fraction(value)
        }
        steps = getattr(self, "update_steps", None)
        if steps is not None:
            changed["update_steps"] = [int(step * multiplier) for step in steps]
        schedule = getattr(self, "drop_fraction", None)
        if callable(schedule):
            changed["drop_fraction"] = schedules.Stretched(schedule, multiplier)
        return changed

    def next_update(
        self, step: int, last_update_step: int | None
    ) -> int | None:
        """Return the next step (int) at which an update is due, or None.

        Args:
            step: optimizer steps completed, int.
            last_update_step: step of the last update that was carried out,
                or None.
        """
        del step, last_update_step
        return None

    def sparsity_progress(self, step: int) -> float:
        """Return the share of the final zeros that are in place, in [0, 1].

        Args:
            step: optimizer steps completed, int; updates due then are done.
        """
        del step
        return 1.0

    def step_flops(self, sparse: float, dense: float) -> float:
        """Return the FLOPs of an ordinary step, per example: `3 f_S`.

        Args:
            sparse: FLOPs f_S of a forward pass of the sparse network, as
                sparse as it is at the time.
            dense: FLOPs f_D of a forward pass of the dense network.
        """
        del dense
        return 3 * sparse

    def update_flops(self, sparse: float, dense: float) -> float:
        """Return the FLOPs of an update beyond those of a step, per example.

        Args: as `step_flops`.
        """
        del sparse, dense
        return 0

    def training_flops(self, sparse: float, dense: float) -> float:
        """Return the mean FLOPs of a batch, per example (paper, appendix H).

        Unused with `needs.varying_sparsity`: then the mean is over the run.

        Args: as `step_flops`.
        """
        return self.step_flops(sparse, dense)

    def dense_weights(self, kernel: protocol.Kernel) -> keras.Variable:
        """Return the variable that is trained, with `needs.dense_weights`.

        Args:
            kernel: `kernel_masks.MaskedKernel`.
        """
        raise TypeError(f"{type(self).__name__} trains active weights only")

    def trained_positions(self, kernel: protocol.Kernel) -> tf.Tensor | None:
        """Return which dense weights a step may move, boolean; None for all."""
        del kernel
        return None

    def step_gradient(
        self, kernel: protocol.Kernel, gradient: tf.Tensor
    ) -> tf.Tensor:
        """Return what the optimizer gets of a dense gradient: the active part.

        Args:
            kernel: `kernel_masks.MaskedKernel`.
            gradient: dense gradient, reduced over replicas.
        """
        # Inactive weights are the zeros. With them, TensorFlow writes into the
        # buffer of the gradient; a mask of floats, or zeros, would take memory.
        return tf.where(kernel.mask.value, gradient, kernel.kernel.value)

    def penalty_gradient(
        self, kernel: protocol.Kernel, l2: float
    ) -> tf.Tensor | None:
        """Return the gradient of `wd/2 |w|^2` and other penalties, or None.

        Args:
            kernel: `kernel_masks.MaskedKernel`.
            l2: weight decay wd; 0 for a kernel without.
        """
        return l2 * kernel.kernel.value if l2 else None

    def observe(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients,
        step: tf.Tensor,
    ) -> None:
        """Observe the dense gradients of a step, reduced over replicas.

        Args:
            kernels: list of `kernel_masks.MaskedKernel`.
            gradients: list of dense gradients, one per kernel.
            step: optimizer steps completed, scalar int64 tensor.
        """
        del kernels, gradients, step

    def changes(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients | None,
        step: tf.Tensor,
    ) -> list[protocol.MaskChange]:
        """Decide the new masks.

        Args:
            kernels: list of `kernel_masks.MaskedKernel`.
            gradients: list of dense gradients (Hessian-gradient products with
                `needs.second_order`), one per kernel, with `needs.batch`;
                otherwise None.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            list of `MaskChange`, one per kernel.
        """
        raise TypeError(f"{type(self).__name__} never updates masks")
