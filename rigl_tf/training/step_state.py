"""State of the training steps: counters, slots, dense weights, plan."""

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf import updaters
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import sparse_kernels
from rigl_tf.training import dense_weights
from rigl_tf.training import optimizer_slots
from rigl_tf.training import suspension
from rigl_tf.training import trained_variables
from rigl_tf.training import update_plan
from rigl_tf.training.hardware import batch_norms


class StepState:
    """State of `steps.SparseSteps`; see there for the arguments."""

    def __init__(
        self,
        model: keras.Model,
        updater: updaters.MaskUpdater | None,
        optimizer: keras.optimizers.Optimizer,
        strategy: tf.distribute.Strategy | None = None,
        *,
        l2: float = 0.0,
    ):
        checks.at_least("l2", l2, 0)
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy or tf.distribute.get_strategy()
        self.l2 = l2
        self.kernels: list[kernel_masks.MaskedKernel] = []
        self.sparse_kernels: list[sparse_kernels.SparseKernel] = []
        self._slots: list[list[optimizer_slots.Slot]] = []
        self._sparse_slots: list[list[optimizer_slots.Slot]] = []
        self._pairs: list[updaters.Pair] | None = None
        with self.strategy.scope():
            self._plan = update_plan.Plan(updater and updater.for_model(model))
            self._build_state()

    def _build_state(self):
        self.step_variable = updaters.state_variable(
            tf.constant(0, tf.int64), "step"
        )
        self.last_update_variable = updaters.state_variable(
            tf.constant(-1, tf.int64), "last_update_step"
        )
        self._last_done = updaters.state_variable(
            tf.constant(-1, tf.int64), "last_done_step"
        )
        self.skipped_updates = updaters.state_variable(
            tf.constant(0, tf.int64), "skipped_updates"
        )
        if self.updater is None:
            trained_variables.require_plain(self.model)
        else:
            self.kernels, self.sparse_kernels = trained_variables.kernels_of(
                self.model
            )
            if self.sparse_kernels:
                self.updater.check_sparse()
            if self.updater.needs.dense_start:
                name = type(self.updater).__name__
                kernel_masks.require_dense(self.kernels, name)
            for item in self.kernels:
                self.updater.check_pattern(item.pattern)
            self.updater.build(self.kernels)
        self._dense = dense_weights.DenseWeights(self.updater, self.kernels)
        self._variables = trained_variables.list_all(
            self.model, self.kernels, self._dense, self.l2
        )
        self._statistics = batch_norms.MovingStatistics(
            self.model, self.strategy
        )
        self._build_optimizer()
        self._suspended = self._suspension()

    def _build_optimizer(self):
        trained = [entry.trained for entry in self._variables]
        if not self.optimizer.built:
            self.optimizer.build(trained)
        elif self._dense:
            raise ValueError(
                f"{type(self.updater).__name__} trains dense weights of its "
                "own: `optimizer` must not have been built for the kernels. "
                "Received: a built one; make a new one"
            )
        if self.updater is None:
            return
        for optimizer in optimizer_slots.elementary(self.optimizer):
            self.updater.check_optimizer(optimizer)
        kernels = [item.kernel for item in self.kernels]
        if self._dense:
            # Slots belong to the dense weights, which no update resets.
            optimizer_slots.slots_of(self.optimizer, self._dense.variables())
            self._slots = [[] for _ in kernels]
        else:
            self._slots = optimizer_slots.slots_of(self.optimizer, kernels)
        self._sparse_slots = optimizer_slots.slots_of(
            self.optimizer, [item.kernel for item in self.sparse_kernels]
        )

    def _suspension(self):
        """Return the context in which constraints and all-reduce are off."""
        optimizers = optimizer_slots.elementary(self.optimizer)
        kernels = [item.kernel for item in self.kernels]
        reduced_here = self.strategy.num_replicas_in_sync > 1
        return suspension.Suspension(
            kernels if optimizer_slots.are_elementwise(optimizers) else [],
            optimizers if reduced_here else [],
        )

    @property
    def trained_variables(self) -> list[keras.Variable]:
        """The model's variables that gradients are taken of, in their order."""
        return [entry.variable for entry in self._variables]

    def dense_masks(self) -> dict[str, np.ndarray]:
        """Map paths of kernels to their masks, arrays of their shapes.

        Truly sparse kernels that would not fit densely are left out.
        """
        masks = {item.path: item.mask.numpy() for item in self.kernels}
        for item in self.sparse_kernels:
            if item.fits_densely:
                masks[item.path] = item.dense_mask()
        return masks

    @property
    def updater(self) -> updaters.MaskUpdater | None:
        """The mask updater, with steps for fractions after `plan`; or None."""
        return self._plan.updater

    def plan(self, n_steps: int | None) -> bool:
        """Fix the window of mask updates for a run of known length.

        The first call decides, and its `n_steps` belongs to the state, so a
        resumed run has the same window. Warns, once, of one that does not fit.

        Args:
            n_steps: steps of the whole run; None if unknown.

        Returns:
            whether the updater has changed, so that callers must retrace.
        """
        if n_steps is not None:
            checks.at_least("n_steps", n_steps, 0, integer=True)
        trained_variables.require_current(self.model, self._variables)
        return self._plan.fix(n_steps, self.step, self.last_update_step)

    @property
    def step(self) -> int:
        """Optimizer steps completed, int; reads the device."""
        return int(_first_replica(self.step_variable))

    @property
    def last_update_step(self) -> int | None:
        """Step of the last mask update, or None; reads the device."""
        last = int(_first_replica(self.last_update_variable))
        return None if last < 0 else last

    @property
    def last_done_step(self) -> int | None:
        """Step of the last that was not skipped, or None; reads the device."""
        last = int(_first_replica(self._last_done))
        return None if last < 0 else last

    def state(self) -> dict[str, keras.Variable]:
        """Map names to the variables beside model and optimizer."""
        named = {
            "step": self.step_variable,
            "last_update_step": self.last_update_variable,
            "last_done_step": self._last_done,
            "skipped_updates": self.skipped_updates,
            "planned_steps": self._plan.n_steps,
        }
        if self.updater is not None:
            for name, variable in self.updater.variables().items():
                named[f"updater/{name}"] = variable
        return named


def _first_replica(variable):
    """Read a variable, under a strategy the first replica's copy."""
    value = variable.value
    return getattr(value, "values", [value])[0].numpy()
