"""The training loop of the command line, under any tf.distribute strategy.

Two compiled functions do the work: one masks the dense gradients and applies
them, the other drops and grows connections. Python chooses between them by a
step counter on the host, because a conditional inside the compiled step would
rule out collectives and cost time.
"""

from collections.abc import Callable
from collections.abc import Sequence
import typing

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.layers import sparse_kernels
from rigl_tf.training import class_predictions
from rigl_tf.training import compiled_loops
from rigl_tf.training import measures
from rigl_tf.training import recurrent_states
from rigl_tf.training import steps
from rigl_tf.training import timing
from rigl_tf.training import update_clock
from rigl_tf.training.callbacks import base
from rigl_tf.training.hardware import workers


class SparseTrainer(steps.SparseSteps):
    """Train a masked model with a mask updater.

    The loop that the command line uses, on every strategy.

    Attributes:
        n_evaluated: examples, or characters of a text, in the last `evaluate`.

    Args:
        model, updater, optimizer, strategy, l2: see `SparseSteps`.
        loss: Keras loss or its name, or a function `(y, y_pred) -> [batch]` or
            `[batch, time]`.
        metrics: dictionary from a name to a function
            `(y, y_pred) -> [batch]` or `[batch, time]`, averaged.
        test_loss: loss of `evaluate`, if it is another, such as one without
            label smoothing.
        test_metrics: metrics of `evaluate` alone, beside `metrics`.
        jit_compile: compile the replica's step with XLA.
        n_rows: examples in a global batch of a model whose states go on from
            one batch to the next; None for other models.
        n_test_rows: the same in `evaluate`, if it is another number.
    """

    def __init__(
        self,
        model: keras.Model,
        updater: updaters.MaskUpdater | None,
        optimizer: keras.optimizers.Optimizer,
        loss: typing.Any,
        strategy: tf.distribute.Strategy | None = None,
        *,
        metrics: dict[str, Callable] | None = None,
        test_loss: typing.Any = None,
        test_metrics: dict[str, Callable] | None = None,
        l2: float = 0.0,
        jit_compile: bool = False,
        n_rows: int | None = None,
        n_test_rows: int | None = None,
    ):
        super().__init__(model, updater, optimizer, strategy, l2=l2)
        self.workers = workers.Workers(self.strategy)
        self.stopwatch = timing.Stopwatch()
        self.n_batches = 0
        self.n_evaluated = 0
        self.last_update_report = None
        if updater is not None:
            updater.check_loss(keras.losses.get(loss))
        self._measures = {"loss": measures.function_of(loss), **(metrics or {})}
        self._test_measures = {
            **self._measures,
            **({"loss": measures.function_of(test_loss)} if test_loss else {}),
            **(test_metrics or {}),
        }
        self.reset_totals(0)
        with self.strategy.scope():
            self._states = recurrent_states.CarriedStates(model, n_rows)
            n_test_rows = n_test_rows or n_rows
            self._test_states = recurrent_states.CarriedStates(
                model, n_test_rows
            )
        if jit_compile:
            self._require_no_sparse_layer()
        self._jit_compile = jit_compile
        self._compile()

    def state(self) -> dict[str, keras.Variable]:
        """Map names to the variables beside model and optimizer."""
        return {**super().state(), **self._states.variables()}

    def _require_no_sparse_layer(self):
        found = [
            kernel
            for kernel in sparse_kernels.sparse_kernels(self.model)
            if not kernel.layer.supports_jit
        ]
        if found:
            raise ValueError(
                "Truly sparse layers cannot be compiled by XLA: leave "
                "`jit_compile` False (JIT_COMPILE=False). Received: "
                f"jit_compile=True and {found[0].path!r}"
            )

    def _compile(self):
        """Trace anew at the next call: steps, updates and evaluation."""
        step, update = self._replica_step, self._replica_update
        if self._jit_compile:
            step = tf.function(step, autograph=False, jit_compile=True)
            # XLA does not know the search of truly sparse updates.
            update = tf.function(
                update, autograph=False, jit_compile=not self.sparse_kernels
            )
        # Without AutoGraph, so that coverage and debuggers see the lines.
        self._train_steps = tf.function(
            compiled_loops.of_steps(self._reduced(step)), autograph=False
        )
        self._mask_update = tf.function(
            compiled_loops.of_update(update, self.strategy, self._plan.updater),
            autograph=False,
        )
        self._evaluate = tf.function(
            self._reduced(self._replica_evaluate), autograph=False
        )

    def _reduced(self, replica_function):
        return compiled_loops.summed(replica_function, self.strategy)

    # The loop.

    def reset_totals(self, n_callbacks: int) -> None:
        """Set the running sums, one row per callback, to zero."""
        self.totals = np.zeros([n_callbacks, 1 + len(self._measures)])

    def train(
        self,
        dataset: typing.Any,
        n_steps: int,
        callbacks: Sequence[base.Callback] = (),
        should_stop: Callable[[], bool] | None = None,
    ) -> bool:
        """Train until `n_steps` optimizer steps have been completed in total.

        Args:
            dataset: endless `tf.data.Dataset` of global batches `(x, y)` or
                `(x, y, weights)`, distributed by the strategy already or not,
                or an iterator over one. An update on a batch consumes a batch
                of its own; `n_batches` counts all.
            n_steps: total number of optimizer steps.
            callbacks: see `rigl_tf.training.callbacks.base.Callback`.
            should_stop: optional function without arguments, called about once
                a second; if it returns True, training ends after the current
                step.

        Returns:
            whether all steps have been completed.

        Raises:
            FloatingPointError: the loss became infinite or NaN; names the step.
        """
        if self.plan(n_steps):
            self._compile()
        iterator = iter(self._distributed(dataset))
        clock = update_clock.HostClock(self)
        pace = timing.Pace()
        self.repair()
        if len(self.totals) != len(callbacks):
            self.reset_totals(len(callbacks))
        while clock.step < n_steps:
            wish = should_stop is not None and should_stop()
            ends, pace.n_steps = self.workers.agree(wish, pace.n_steps)
            if ends:
                return False
            if clock.due(before_step=True):
                before = clock.step
                self._update(iterator, clock, callbacks)
                if clock.step > before:  # it counted as a step
                    self._fire(callbacks, clock.step, n_steps)
                continue
            stops = [callback.next_step(clock.step) for callback in callbacks]
            stop = clock.next_stop([n_steps, clock.step + pace.n_steps, *stops])
            with pace:
                self._run_to(iterator, clock, stop)
            if clock.due(before_step=False):
                self._update(iterator, clock, callbacks)
            self._fire(callbacks, stop, n_steps)
        return True

    def _fire(self, callbacks, step, n_steps):
        for index, callback in enumerate(callbacks):
            if callback.next_step(step - 1) == step or step == n_steps:
                means = measures.means(self.totals[index], self._measures)
                self.totals[index] = 0.0
                with self.stopwatch.measure(callback.activity):
                    callback.fire(self, step, means)

    def run_steps(self, iterator: typing.Any, n_steps: int) -> int:
        """Make optimizer steps, one batch each, and add up what they measure.

        A part of `train`, for benchmarks and loops of your own: nothing is
        planned, and no mask is updated.

        Args:
            iterator: iterator over a distributed dataset.
            n_steps: number of steps, at least 1.

        Returns:
            index of the first step whose loss is not finite; -1 for none.
        """
        with self.stopwatch.measure("step"):
            bad, totals, waited = self._train_steps(
                iterator, tf.constant(n_steps), tf.constant(self.totals)
            )
            self.totals = totals.numpy()
        self.stopwatch.move("step", "input", float(waited))
        self.n_batches += n_steps
        return int(bad)

    def update(self, iterator: typing.Any) -> None:
        """Update the masks, on a batch of the iterator if the method needs one.

        Args:
            iterator: iterator over a distributed dataset.
        """
        with self.stopwatch.measure("update"):
            self.last_update_report = self._mask_update(iterator).numpy()
        self.n_batches += int(self._plan.updater.needs.batch)

    def _run_to(self, iterator, clock, stop):
        bad = self.run_steps(iterator, stop - clock.step)
        if bad >= 0:
            raise FloatingPointError(
                f"The loss is not finite at step {clock.step + bad}: "
                "lower the learning rate, or clip gradients"
            )
        clock.step = stop

    def _update(self, iterator, clock, callbacks):
        step = clock.step
        self.update(iterator)
        clock.note_update()
        for callback in callbacks:
            callback.on_update(self, step)

    def evaluate(self, dataset: typing.Any) -> dict[str, float]:
        """Return mean loss and metrics over a finite dataset.

        Args:
            dataset: `tf.data.Dataset` of `(x, y)` or `(x, y, weights)`,
                distributed already or not.

        Returns:
            dictionary with "loss" and one entry per metric.
        """
        totals = self._add_up(self._evaluate, dataset)
        self.n_evaluated = int(totals[0])
        return measures.means(totals, self._test_measures)

    def confusion(self, dataset: typing.Any, n_classes: int) -> np.ndarray:
        """Return the confusion matrix of the test examples.

        Args:
            dataset: as in `evaluate`, with integer labels [batch].
            n_classes: number of logits K.

        Returns:
            float64 array [K, K]: rows are true classes, columns predictions.
        """
        count = class_predictions.counter(self._predict, n_classes)
        counted = tf.function(self._reduced(count), autograph=False)
        return self._add_up(counted, dataset)

    def predictions(self, dataset: typing.Any) -> tuple[np.ndarray, np.ndarray]:
        """Return what the model predicts for each test example.

        Args:
            dataset: as in `evaluate`, with integer labels.

        Returns:
            labels and predicted classes, int32 [examples], in the order of the
            data set, without the examples of weight 0 that fill a batch.
        """
        rows = class_predictions.rows(self._predict)
        gather = compiled_loops.gathered(rows, self.strategy)
        gather = tf.function(gather, autograph=False)
        return class_predictions.joined(self._of_batches(gather, dataset))

    def _add_up(self, function, dataset):
        """Add up a function of batches, as float64."""
        total = 0.0
        for values in self._of_batches(function, dataset):
            total = total + values.astype("float64")
        return total

    def _of_batches(self, function, dataset):
        """Yield the values of a function of test batches, as arrays."""
        self._test_states.reset()
        for batch in self._distributed(dataset):
            yield function(batch).numpy()

    def _distributed(self, dataset):
        if isinstance(dataset, tf.data.Dataset):
            return self.strategy.experimental_distribute_dataset(dataset)
        return dataset

    # What one replica does with its share of a batch.

    def _replica_step(self, batch):
        sums, gradients = self._gradients(batch)
        self.apply_gradients(gradients)
        return sums

    def _replica_update(self, batch=None):
        return self.update_on(batch, self._gradients)

    def _replica_evaluate(self, batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        predictions = self._predict(x, training=False)
        return tf.stack(
            measures.sums(self._test_measures, y, predictions, weights)
        )

    def _predict(self, x, training):
        states = self._states if training else self._test_states
        return states.call(self.model, x, training)

    def _gradients(self, batch, temperature=1.0):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        replicas = self.strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            predictions = self._predict(x, training=True)
            if temperature != 1:
                predictions = predictions / temperature
            sums = measures.sums(self._measures, y, predictions, weights)
            loss = sums[1] / (sums[0] * replicas)
            if self.model.losses:
                loss += tf.add_n(self.model.losses) / replicas
            loss = self.optimizer.scale_loss(loss)
        variables = [variable.value for variable in self.trained_variables]
        return tf.stack(sums), tape.gradient(loss, variables)
