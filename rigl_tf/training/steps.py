"""The pair of steps under every loop: apply gradients, update masks.

Inactive weights are exactly zero, always. Three things keep them so: gradients
are masked before the optimizer sees them, the slots of inactive connections
hold their initial values, and an update zeroes what it drops.
"""

import tensorflow as tf

from rigl_tf import checks
from rigl_tf import updaters
from rigl_tf.layers import kernel_masks
from rigl_tf.training import dense_weights
from rigl_tf.training import gradients as gradients_of_batch
from rigl_tf.training import mask_changes
from rigl_tf.training import optimizer_slots
from rigl_tf.training import suspension
from rigl_tf.training import trained_variables
from rigl_tf.training import update_clock
from rigl_tf.training import update_plan
from rigl_tf.training.hardware import batch_norms


class SparseSteps:
    """The two steps of sparse training, for any loop.

    A loop of your own asks `update_due()` on the host, then calls
    `update_masks(gradients)` or `apply_gradients(gradients)`, compiled or not.
    (A counter on the host would freeze inside a `tf.function`: hence two
    calls.) If the window is a fraction of the run, it calls `plan` first.

    What is trained is decided once, here: kernels of layers that are frozen
    keep their masks and take no part. Freeze or unfreeze layers, then build
    new steps (with `SparseModel`: call `compile` again).

    Args:
        model: Keras model; masked (`rigl_tf.sparsify`) unless `updater` is
            None, which trains it densely.
        updater: `updaters.MaskUpdater`, or None.
        optimizer: Keras optimizer; its slots must mirror the kernels.
        strategy: `tf.distribute.Strategy`, under which model and optimizer
            were created; None for the current one.
        l2: weight decay wd: `wd/2 * sum(w^2)` over all trainable kernels, in
            closed form, outside of the dense gradients.
    """

    def __init__(self, model, updater, optimizer, strategy=None, *, l2=0.0):
        checks.at_least("l2", l2, 0)
        self.model = model
        self.optimizer = optimizer
        self.strategy = strategy or tf.distribute.get_strategy()
        self.l2 = l2
        self.kernels = []
        self._slots = []
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
            self.kernels = trained_variables.kernels_of(self.model)
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

    def _suspension(self):
        """Return what switches off constraints and reduction of others."""
        optimizers = optimizer_slots.elementary(self.optimizer)
        kernels = [item.kernel for item in self.kernels]
        reduced_here = self.strategy.num_replicas_in_sync > 1
        return suspension.Suspension(
            kernels if optimizer_slots.are_elementwise(optimizers) else [],
            optimizers if reduced_here else [],
        )

    @property
    def trained_variables(self):
        """The model's variables that gradients are taken of, in their order."""
        return [entry.variable for entry in self._variables]

    @property
    def updater(self):
        """The mask updater, with steps for fractions after `plan`; or None."""
        return self._plan.updater

    def plan(self, n_steps):
        """Fix the window of mask updates for a run of known length.

        The first call decides, and its `n_steps` belongs to the state, so a
        resumed run has the same window. Warns, once, of one that does not fit.

        Args:
            n_steps: steps of the whole run; None if nobody knows.

        Returns: whether the updater has changed: trace anew.
        """
        if n_steps is not None:
            checks.at_least("n_steps", n_steps, 0, integer=True)
        trained_variables.require_current(self.model, self._variables)
        return self._plan.fix(n_steps, self.step, self.last_update_step)

    @property
    def step(self):
        """Optimizer steps completed, int; reads the device."""
        return int(_first_replica(self.step_variable))

    @property
    def last_update_step(self):
        """Step of the last mask update, or None; reads the device."""
        last = int(_first_replica(self.last_update_variable))
        return None if last < 0 else last

    @property
    def last_done_step(self):
        """Step of the last that was not skipped, or None; reads the device."""
        last = int(_first_replica(self._last_done))
        return None if last < 0 else last

    def state(self):
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

    def update_due(self):
        """Say whether a mask update is due now; ask on the host."""
        return update_clock.HostClock(self).due(before_step=True)

    def apply_gradients(self, gradients):
        """Mask the dense gradients and let the optimizer apply them.

        Args:
            gradients: list like `trained_variables`, which are the model's
                trainable variables: gradients of this replica's share of the
                (scaled) loss, as for `optimizer.apply`; reduced here.

        Raises:
            ValueError: there are more or fewer.
        """
        trained_variables.require_aligned(gradients, self._variables)
        gradients = gradients_of_batch.reduce(gradients, self.strategy)
        self._statistics.average()
        self._observe(gradients)
        masked = [
            self._step_gradient(gradient, entry)
            for gradient, entry in zip(gradients, self._variables)
        ]
        frozen = self._dense.frozen()
        with self._suspended:
            self.optimizer.apply(masked, [e.trained for e in self._variables])
        self._dense.settle(frozen)
        self.step_variable.assign_add(1)

    def update_gradients(self, gradients):
        """Return the gradients that `update_masks` needs.

        Args:
            gradients: function without arguments that returns the gradients of
                a batch, as for `apply_gradients`.

        Returns:
            these, or the Hessian-gradient products `Hg` with
            `needs.second_order`: the gradients of `sum(g * stop_gradient(g))`.
        """
        if not self.updater.needs.second_order:
            return gradients()
        return gradients_of_batch.hessian_products(
            gradients,
            self._variables,
            self.strategy,
            gradients_of_batch.loss_scale(self.optimizer),
        )

    def update_on(self, batch, gradients):
        """Update the masks on a batch, or without one.

        Args:
            batch: what `gradients` takes, with `needs.batch`; else None.
            gradients: function `(batch)`, or `(batch, temperature=T)` if the
                updater divides logits by T, that returns a pair of anything
                and the gradients of the batch.

        Returns:
            the report of `update_masks`.
        """
        if batch is None:
            return self.update_masks()
        temperature = self.updater.needs.temperature
        options = {} if temperature == 1 else {"temperature": temperature}
        return self.update_masks(
            self.update_gradients(lambda: gradients(batch, **options)[1])
        )

    def update_masks(self, gradients=None):
        """Let the updater change the masks; keep weights and slots in order.

        Inactive weights become zero and their slots initial; grown connections
        begin with the updater's first weight and initial slots. With a
        non-finite weight or gradient nothing changes, and `skipped_updates`
        counts one more.

        Args:
            gradients: list like `model.trainable_variables`, as for
                `apply_gradients`, or from `update_gradients`, if
                `updater.needs.batch`; else None.

        Returns:
            float32 tensor, one row per kernel: the number of connections that
            were grown, and the norm of their dense gradient (0 without).
        """
        if self.updater.needs.batch:
            trained_variables.require_aligned(gradients, self._variables)
            gradients = self._kernel_gradients(
                gradients_of_batch.reduce(gradients, self.strategy)
            )
            self._statistics.average()
        weights = [kernel.kernel.value for kernel in self.kernels]
        finite = updaters.all_finite(weights + list(gradients or []))
        decided = self.updater.changes(
            self.kernels, gradients, self.step_variable.value
        )
        for kernel, kernel_slots, change in zip(
            self.kernels, self._slots, decided
        ):
            mask_changes.apply(kernel, kernel_slots, change, finite)
        self._dense.mask()
        report = mask_changes.report(decided, gradients, finite)
        self.skipped_updates.assign(
            self.skipped_updates.value + tf.cast(~finite, tf.int64)
        )
        now = self.step_variable.value
        self.last_update_variable.assign(now)
        self._last_done.assign(tf.where(finite, now, self._last_done.value))
        if self.updater.needs.update_is_step:
            self.step_variable.assign_add(1)
        return report

    def repair(self):
        """Zero what lies off the masks, and reset its slots.

        Changes no bit after our own steps. Weights that were restored from
        elsewhere, without the optimizer, need it.
        """
        self._dense.adopt()
        for kernel, kernel_slots in zip(self.kernels, self._slots):
            active, weights = kernel.mask.value > 0, kernel.kernel.value
            zeros = tf.zeros_like(weights)
            kernel.kernel.assign(tf.where(active, weights, zeros))
            for slot in kernel_slots:
                value, reset = slot.variable.value, slot.initial_values(zeros)
                slot.variable.assign(tf.where(active, value, reset))

    def finish(self):
        """Let the optimizer put averaged weights, if it keeps any, in place."""
        self.optimizer.finalize_variable_values(
            [entry.trained for entry in self._variables]
        )

    def _observe(self, gradients):
        if self.updater is not None and self.updater.needs.step_gradients:
            self.updater.observe(
                self.kernels,
                self._kernel_gradients(gradients),
                self.step_variable.value,
            )

    def _kernel_gradients(self, reduced):
        return gradients_of_batch.of_kernels(
            reduced,
            self._variables,
            self.kernels,
            gradients_of_batch.loss_scale(self.optimizer),
        )

    def _step_gradient(self, gradient, entry):
        if gradient is None:
            return None
        if entry.kernel is not None:
            gradient = self.updater.step_gradient(entry.kernel, gradient)
            penalty = self.updater.penalty_gradient(entry.kernel, entry.l2)
        else:
            penalty = entry.l2 * entry.variable.value if entry.l2 else None
        if penalty is not None:
            # Scaled like the loss, in case the optimizer scales it.
            penalty = self.optimizer.scale_loss(penalty)
            gradient += tf.cast(penalty, gradient.dtype)
        return gradient


def _first_replica(variable):
    """Read a variable, under a strategy the first replica's copy."""
    value = variable.value
    return getattr(value, "values", [value])[0].numpy()
