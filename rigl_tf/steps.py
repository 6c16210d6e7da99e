"""The pair of steps under every loop: apply gradients, update masks.

Inactive weights are exactly zero, always. Three things keep them so: gradients
are masked before the optimizer sees them, the slots of inactive connections
hold their initial values, and an update zeroes what it drops.
"""

import contextlib

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf import layers
from rigl_tf import masking
from rigl_tf import slots
from rigl_tf import updaters


class SparseSteps:
    """The two steps of sparse training, for any loop.

    A loop of your own asks `update_due()` on the host, then calls
    `update_masks(gradients)` or `apply_gradients(gradients)`, compiled or not.
    (A counter on the host would freeze inside a `tf.function`: hence two
    calls.)

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
        self.updater = updater
        self.optimizer = optimizer
        self.strategy = strategy or tf.distribute.get_strategy()
        self.l2 = l2
        self.kernels = []
        self._slots = []
        self._tracing = 0
        with self.strategy.scope():
            self._build_state()

    def _build_state(self):
        variables = self.model.trainable_variables
        if not self.optimizer.built:
            self.optimizer.build(variables)
        self.step_variable = _counter("step", 0)
        self.last_update_variable = _counter("last_update_step", -1)
        self.skipped_updates = _counter("skipped_updates", 0)
        if self.updater is not None:
            self.kernels = masking.masked_kernels(self.model)
            for optimizer in slots.elementary(self.optimizer):
                self.updater.check_optimizer(optimizer)
            self.updater.build(self.kernels)
            self._slots = slots.slots_of(
                self.optimizer, [k.kernel for k in self.kernels]
            )
        masks = {id(k.kernel): k.mask for k in self.kernels}
        self._variables = [
            (v, masks.get(id(v)), bool(self.l2) and layers.decays(v))
            for v in variables
        ]

    @property
    def step(self):
        """Optimizer steps completed, int; reads the device."""
        return int(_first_replica(self.step_variable))

    @property
    def last_update_step(self):
        """Step of the last mask update, or None; reads the device."""
        last = int(_first_replica(self.last_update_variable))
        return None if last < 0 else last

    def state(self):
        """Map names to the variables beside model and optimizer."""
        named = {
            "step": self.step_variable,
            "last_update_step": self.last_update_variable,
            "skipped_updates": self.skipped_updates,
        }
        if self.updater is not None:
            for name, variable in self.updater.variables().items():
                named[f"updater/{name}"] = variable
        return named

    def update_due(self):
        """Say whether a mask update is due now; ask on the host."""
        if self.updater is None:
            return False
        step = self.step
        return self.updater.next_update(step, self.last_update_step) == step

    def apply_gradients(self, gradients):
        """Mask the dense gradients and let the optimizer apply them.

        Args:
            gradients: list like `model.trainable_variables`: gradients of
                this replica's share of the (scaled) loss, as for
                `optimizer.apply`; reduced here.
        """
        gradients = self._reduce(gradients)
        self._observe(gradients)
        masked = [
            self._masked_gradient(gradient, *entry)
            for gradient, entry in zip(gradients, self._variables)
        ]
        with self._own_masking():
            self.optimizer.apply(masked, [v for v, _, _ in self._variables])
        self.step_variable.assign_add(1)

    def update_masks(self, gradients=None):
        """Let the updater change the masks; keep weights and slots in order.

        Inactive weights become zero and their slots initial; grown connections
        begin with the updater's first weight and initial slots. With a
        non-finite weight or gradient nothing changes, and `skipped_updates`
        counts one more.

        Args:
            gradients: list like `model.trainable_variables`, as for
                `apply_gradients`, if `updater.updates_on_batch`; else None.

        Returns:
            float32 tensor, one row per kernel: the number of connections that
            were grown, and the norm of their dense gradient (0 without).
        """
        if self.updater.updates_on_batch:
            gradients = self._kernel_gradients(self._reduce(gradients))
        weights = [kernel.kernel.value for kernel in self.kernels]
        finite = updaters.all_finite(weights + list(gradients or []))
        changes = self.updater.changes(
            self.kernels, gradients, self.step_variable.value
        )
        for kernel, kernel_slots, change in zip(
            self.kernels, self._slots, changes
        ):
            _apply_change(kernel, kernel_slots, change, finite)
        report = _report(changes, gradients, finite)
        self.skipped_updates.assign(
            self.skipped_updates.value + tf.cast(~finite, tf.int64)
        )
        self.last_update_variable.assign(self.step_variable.value)
        if self.updater.counts_update_steps:
            self.step_variable.assign_add(1)
        return report

    def repair(self):
        """Zero what lies off the masks, and reset its slots.

        Changes no bit after our own steps. Weights that were restored from
        elsewhere, without the optimizer, need it.
        """
        for kernel, kernel_slots in zip(self.kernels, self._slots):
            active, weights = kernel.mask.value > 0, kernel.kernel.value
            zeros = tf.zeros_like(weights)
            kernel.kernel.assign(tf.where(active, weights, zeros))
            for slot in kernel_slots:
                value, reset = slot.variable.value, slot.initial_values(zeros)
                slot.variable.assign(tf.where(active, value, reset))

    def _reduce(self, gradients):
        """Sum gradients over replicas, once, before masking and clipping."""
        if self.strategy.num_replicas_in_sync == 1:
            return list(gradients)
        context = tf.distribute.get_replica_context()
        return context.all_reduce("sum", list(gradients))

    def _observe(self, gradients):
        if self.updater is not None and self.updater.observes_gradients:
            self.updater.observe(
                self.kernels, self._kernel_gradients(gradients)
            )

    def _kernel_gradients(self, gradients):
        """Pick the kernels' gradients, without the scale of the loss."""
        scale = _loss_scale(self.optimizer)
        by_id = {
            id(v): gradient
            for gradient, (v, _, _) in zip(gradients, self._variables)
        }
        found = [by_id[id(kernel.kernel)] for kernel in self.kernels]
        return [
            tf.zeros_like(kernel.kernel.value)
            if gradient is None
            else gradient / tf.cast(scale, gradient.dtype)
            for kernel, gradient in zip(self.kernels, found)
        ]

    def _masked_gradient(self, gradient, variable, mask, decays):
        if gradient is None:
            return None
        if mask is not None:
            gradient = gradient * tf.cast(mask.value, gradient.dtype)
        if decays:
            # Scaled like the loss, in case the optimizer scales it.
            wd = self.optimizer.scale_loss(tf.constant(self.l2, gradient.dtype))
            gradient += tf.cast(wd, gradient.dtype) * variable.value
        return gradient

    @contextlib.contextmanager
    def _own_masking(self):
        """Switch off what we do ourselves: constraints and reduction.

        Counted, because the threads of several replicas trace through here
        alternately.
        """
        optimizers = slots.elementary(self.optimizer)
        kernels = []
        if slots.are_elementwise(optimizers):
            kernels = [kernel.kernel for kernel in self.kernels]
        reduced_here = self.strategy.num_replicas_in_sync > 1
        if not self._tracing:
            self._constraints = layers.detach_mask_constraints(kernels)
            for optimizer in optimizers if reduced_here else ():
                optimizer._all_reduce_sum_gradients = lambda pairs: pairs
        self._tracing += 1
        try:
            yield
        finally:
            self._tracing -= 1
            if not self._tracing:
                layers.attach_constraints(kernels, self._constraints)
                for optimizer in optimizers if reduced_here else ():
                    del optimizer._all_reduce_sum_gradients


class HostClock:
    """Step counters on the host, so that a loop need not read the device.

    Attributes:
        step: optimizer steps completed.
        last_update_step: step of the last mask update, or None.
    """

    def __init__(self, trainer):
        self.step = trainer.step
        self.last_update_step = trainer.last_update_step
        self._updater = trainer.updater

    def due(self, on_batch):
        """Say whether an update is due now, of the kind that is asked for."""
        updater = self._updater
        if updater is None or updater.updates_on_batch != on_batch:
            return False
        due = updater.next_update(self.step, self.last_update_step)
        return due == self.step

    def note_update(self):
        """Count an update."""
        self.last_update_step = self.step
        self.step += int(self._updater.counts_update_steps)

    def next_stop(self, steps, intervals):
        """Return the step until which there is nothing but steps to do."""
        stops = [steps]
        stops += [(self.step // n + 1) * n for n in intervals]
        if self._updater is not None:
            due = self._updater.next_update(self.step, self.step)
            stops += [due] if due is not None else []
        return min(stops)


def _loss_scale(optimizer):
    """Return the factor by which the optimizer scales losses."""
    return optimizer.scale_loss(tf.constant(1.0))


def _counter(name, value):
    """Create an int64 counter that each replica keeps for itself."""
    return keras.Variable(
        value,
        dtype="int64",
        trainable=False,
        autocast=False,
        aggregation="none",
        name=name,
    )


def _first_replica(variable):
    """Read a variable, under a strategy the first replica's copy."""
    value = variable.value
    return getattr(value, "values", [value])[0].numpy()


def _report(changes, gradients, finite):
    """Count grown connections and take the norm of their gradients."""
    rows = []
    for change, gradient in zip(changes, gradients or [None] * len(changes)):
        grown = tf.cast(change.grown & finite, tf.float32)
        norm = tf.constant(0.0)
        if gradient is not None:
            norm = tf.norm(tf.cast(gradient, tf.float32) * grown)
        rows.append([tf.reduce_sum(grown), norm])
    return tf.convert_to_tensor(rows)


def _apply_change(kernel, kernel_slots, change, finite):
    """Assign mask, weights and slots of one kernel, if all is finite."""
    weights, old_mask = kernel.kernel.value, kernel.mask.value
    new_mask = tf.cast(change.mask, old_mask.dtype)
    new_mask = tf.where(finite, new_mask, old_mask)
    grown = change.grown & finite
    retained = (new_mask > 0) & ~grown
    first = change.grow_values
    first = tf.zeros_like(weights) if first is None else first
    anew = tf.where(grown, first, tf.zeros_like(weights))
    kernel.kernel.assign(tf.where(retained, weights, anew))
    kernel.mask.assign(new_mask)
    for slot in kernel_slots:
        value = slot.variable.value
        reset = slot.initial_values(anew)
        if change.slot_values is not None:
            reset += tf.where(grown, change.slot_values, tf.zeros_like(value))
        slot.variable.assign(tf.where(retained, value, reset))
