"""The two steps under every loop: apply gradients, update masks.

Inactive weights are exactly zero, always. Three things keep them so: gradients
are masked before the optimizer sees them, the slots of inactive connections
hold their initial values, and an update zeroes what it drops.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import typing

import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.sparse import collecting
from rigl_tf.training import gradients as gradients_of_batch
from rigl_tf.training import mask_changes
from rigl_tf.training import sparse_changes
from rigl_tf.training import step_state
from rigl_tf.training import trained_variables
from rigl_tf.training import update_clock


class SparseSteps(step_state.StepState):
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

    def update_due(self) -> bool:
        """Return whether a mask update is due now; call it on the host."""
        return update_clock.HostClock(self).due(before_step=True)

    def apply_gradients(self, gradients: gradients_of_batch.Gradients) -> None:
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

    def update_gradients(
        self, gradients: Callable[[], gradients_of_batch.Gradients]
    ) -> gradients_of_batch.Gradients:
        """Return the gradients that `update_masks` needs.

        Args:
            gradients: function without arguments that returns the gradients of
                a batch, as for `apply_gradients`.

        Returns:
            these, or the Hessian-gradient products `Hg` with
            `needs.second_order`: the gradients of `sum(g * stop_gradient(g))`.
        """
        if not self._plan.updater.needs.second_order:
            return gradients()
        return gradients_of_batch.hessian_products(
            gradients,
            self._variables,
            self.strategy,
            gradients_of_batch.loss_scale(self.optimizer),
        )

    def update_on(
        self, batch: typing.Any, gradients: Callable[..., typing.Any]
    ) -> tf.Tensor:
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
        temperature = self._plan.updater.needs.temperature
        options = {} if temperature == 1 else {"temperature": temperature}
        with self.collecting():
            taken = self.update_gradients(
                lambda: gradients(batch, **options)[1]
            )
        return self.update_masks(taken)

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Let truly sparse layers collect what their update needs.

        Take the gradients for `update_masks` in this context; models without
        such layers need none. (`update_on` does it.)
        """
        with collecting.collecting() as pairs:
            yield
        self._pairs = [pairs.of(kernel.layer) for kernel in self.sparse_kernels]

    def update_masks(
        self, gradients: gradients_of_batch.Gradients | None = None
    ) -> tf.Tensor:
        """Let the updater change the masks, and adapt weights and slots.

        Inactive weights become zero and their slots initial; grown connections
        begin with the updater's first weight and initial slots. With a
        non-finite weight or gradient nothing changes, and `skipped_updates`
        counts one more.

        Args:
            gradients: list like `model.trainable_variables`, as for
                `apply_gradients`, or from `update_gradients`, if
                `updater.needs.batch`; else None.

        Returns:
            float32 tensor, one row per kernel, masked ones before truly sparse
            ones: the number of connections that were grown, and the norm of
            their dense gradient (0 without).
        """
        pairs: list[updaters.Pair] = [None] * len(self.sparse_kernels)
        if self._plan.updater.needs.batch:
            pairs = self._collected_pairs()
            given = list(gradients or [])
            trained_variables.require_aligned(given, self._variables)
            gradients = self._kernel_gradients(
                gradients_of_batch.reduce(given, self.strategy)
            )
            self._statistics.average()
        tested = [kernel.kernel.value for kernel in self.kernels]
        tested += [kernel.kernel.value for kernel in self.sparse_kernels]
        tested += [
            *(gradients or []),
            *(t for pair in pairs for t in pair or ()),
        ]
        finite = updaters.all_finite(tested)
        report, finite = self._move(gradients, pairs, finite)
        self.skipped_updates.assign(
            self.skipped_updates.value + tf.cast(~finite, tf.int64)
        )
        now = self.step_variable.value
        self.last_update_variable.assign(now)
        self._last_done.assign(tf.where(finite, now, self._last_done.value))
        if self._plan.updater.needs.update_is_step:
            self.step_variable.assign_add(1)
        return report

    def _move(self, gradients, pairs, finite):
        """Decide and carry out all changes if all is finite.

        Returns:
            `(report, finite)`.
        """
        updater, step = self._plan.updater, self.step_variable.value
        decided, sparse = [], []
        if self.kernels:
            decided = updater.changes(self.kernels, gradients, step)
        if self.sparse_kernels:
            sparse = updater.sparse_changes(self.sparse_kernels, pairs, step)
            # A product of finite numbers may be too large.
            scores = [change.scores for change in sparse]
            finite = finite & updaters.all_finite(scores)
        rows = [
            *mask_changes.report(decided, gradients, finite),
            *sparse_changes.report(sparse, self.sparse_kernels, pairs, finite),
        ]
        for kernel, slots, change in zip(self.kernels, self._slots, decided):
            mask_changes.apply(kernel, slots, change, finite)
        for kernel, slots, change in zip(
            self.sparse_kernels, self._sparse_slots, sparse
        ):
            sparse_changes.apply(kernel, slots, change, finite)
        self._dense.mask()
        return tf.convert_to_tensor(rows), finite

    def _collected_pairs(self):
        """Return what `collecting` collected, of all replicas, once."""
        if not self.sparse_kernels:
            return []
        if self._pairs is None:
            raise ValueError(
                "The gradients for `update_masks` of a model with truly sparse "
                "layers must be taken inside of `with steps.collecting():`. "
                "Received: gradients that were not"
            )
        pairs, self._pairs = self._pairs, None
        scale = gradients_of_batch.loss_scale(self.optimizer)
        return [
            sparse_changes.gathered(pair, self.strategy, scale)
            for pair in pairs
        ]

    def repair(self) -> None:
        """Zero inactive weights and reset their slots.

        Changes nothing after `apply_gradients` and `update_masks`; needed after
        weights were restored without the optimizer.
        """
        self._dense.adopt()
        for kernel, kernel_slots in zip(self.kernels, self._slots):
            active, weights = kernel.mask.value, kernel.kernel.value
            zeros = tf.zeros_like(weights)
            kernel.kernel.assign(tf.where(active, weights, zeros))
            for slot in kernel_slots:
                value, reset = slot.variable.value, slot.initial_values(zeros)
                slot.variable.assign(tf.where(active, value, reset))

    def finish(self) -> None:
        """Assign the averaged weights of the optimizer, if it keeps any."""
        self.optimizer.finalize_variable_values(
            [entry.trained for entry in self._variables]
        )

    def _observe(self, gradients):
        if self.updater is not None and self._plan.updater.needs.step_gradients:
            self._plan.updater.observe(
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
            gradient = self._plan.updater.step_gradient(entry.kernel, gradient)
            penalty = self._plan.updater.penalty_gradient(
                entry.kernel, entry.l2
            )
        else:
            penalty = entry.l2 * entry.variable.value if entry.l2 else None
        if penalty is not None:
            # Scaled like the loss, in case the optimizer scales it.
            penalty = self.optimizer.scale_loss(penalty)
            gradient += tf.cast(penalty, gradient.dtype)
        return gradient
