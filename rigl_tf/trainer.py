"""The training loop: two compiled functions under any tf.distribute strategy.

`train_steps` masks the dense gradients and lets the optimizer apply them;
`mask_update` lets the updater drop and grow connections. Python chooses between
them from a step counter on the host: a conditional inside the compiled step
would forbid collectives and cost time.
"""

import keras
import tensorflow as tf

from rigl_tf import steps


class SparseTrainer(steps.SparseSteps):
    """Train a masked model with a mask updater.

    The loop that the command line uses, on every strategy.

    Args:
        model, updater, optimizer, strategy, l2: as `steps.SparseSteps`.
        loss: Keras loss or its name, or a function `(y, y_pred) -> [batch]` or
            `[batch, time]`.
        metrics: dictionary from a name to a function
            `(y, y_pred) -> [batch]` or `[batch, time]`, averaged.
        jit_compile: compile the replica's step with XLA.
    """

    def __init__(
        self,
        model,
        updater,
        optimizer,
        loss,
        strategy=None,
        *,
        metrics=None,
        l2=0.0,
        jit_compile=False,
    ):
        super().__init__(model, updater, optimizer, strategy, l2=l2)
        self.metrics = dict(metrics or {})
        self._loss = _per_example(loss)
        self._compile(jit_compile)

    def _compile(self, jit_compile):
        def replica_function(function):
            return tf.function(function, autograph=False, jit_compile=True)

        step, update = self._replica_step, self._replica_update
        if jit_compile:
            step, update = replica_function(step), replica_function(update)

        def train_steps(iterator, n_steps):
            def one_step(index, totals):
                sums = self.strategy.run(step, args=(next(iterator),))
                sums = self.strategy.reduce("sum", sums, axis=None)
                return [index + 1, totals + sums]

            zeros = tf.zeros([2 + len(self.metrics)])
            _, totals = tf.while_loop(
                lambda index, _: index < n_steps,
                one_step,
                [tf.constant(0), zeros],
            )
            return totals

        def mask_update(iterator):
            batch = (next(iterator),) if self.updater.updates_on_batch else ()
            self.strategy.run(update, args=batch)

        # Without AutoGraph, so that coverage and debuggers see the lines.
        self._train_steps = tf.function(train_steps, autograph=False)
        self._mask_update = tf.function(mask_update, autograph=False)
        self._evaluate = tf.function(
            lambda batch: self.strategy.reduce(
                "sum",
                self.strategy.run(self._replica_evaluate, args=(batch,)),
                axis=None,
            ),
            autograph=False,
        )

    # The loop.

    def train(self, dataset, n_steps, callbacks=()):
        """Train until `n_steps` optimizer steps have been completed in all.

        Args:
            dataset: endless `tf.data.Dataset` of global batches `(x, y)` or
                `(x, y, weights)`, or an iterator over one. An update on a batch
                consumes a batch of its own.
            n_steps: total number of optimizer steps.
            callbacks: see `rigl_tf.callbacks.Callback`.
        """
        iterator = self._iterator(dataset)
        clock = steps.HostClock(self)
        while clock.step < n_steps:
            if clock.due(on_batch=True):
                self._mask_update(iterator)
                clock.note_update()
                continue  # the update may have counted as the last step
            stop = clock.next_stop(n_steps, [c.interval for c in callbacks])
            n_now = tf.constant(stop - clock.step)
            totals = self._train_steps(iterator, n_now).numpy()
            clock.step = stop
            if clock.due(on_batch=False):
                self._mask_update(iterator)
                clock.note_update()
            for callback in callbacks:
                callback.add(totals)
                if stop % callback.interval == 0 or stop == n_steps:
                    callback.fire(self, stop)

    def evaluate(self, dataset):
        """Return mean loss and metrics over a finite dataset.

        Args:
            dataset: `tf.data.Dataset` of `(x, y)` or `(x, y, weights)`.

        Returns:
            dictionary with "loss" and one entry per metric.
        """
        totals = 0.0
        for batch in self.strategy.experimental_distribute_dataset(dataset):
            totals = totals + self._evaluate(batch).numpy().astype("float64")
        return self.means(totals)

    def means(self, totals):
        """Turn summed `[weights, loss, metrics...]` into a dictionary."""
        names = ["loss", *self.metrics]
        return {n: float(t / totals[0]) for n, t in zip(names, totals[1:])}

    def _iterator(self, dataset):
        if isinstance(dataset, tf.data.Dataset):
            dataset = self.strategy.experimental_distribute_dataset(dataset)
        return iter(dataset)

    # What one replica does with its share of a batch.

    def _replica_step(self, batch):
        sums, gradients = self._gradients(batch)
        self.apply_gradients(gradients)
        return sums

    def _replica_update(self, batch=None):
        gradients = None if batch is None else self._gradients(batch)[1]
        self.update_masks(gradients)

    def _replica_evaluate(self, batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        return tf.stack(self._sums(y, self.model(x, training=False), weights))

    def _gradients(self, batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        replicas = self.strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            predictions = self.model(x, training=True)
            sums = self._sums(y, predictions, weights)
            loss = sums[1] / (sums[0] * replicas)
            if self.model.losses:
                loss += tf.add_n(self.model.losses) / replicas
            loss = self.optimizer.scale_loss(loss)
        variables = [variable.value for variable, _, _ in self._variables]
        return tf.stack(sums), tape.gradient(loss, variables)

    def _sums(self, y, predictions, weights):
        """Sum `[weights, loss, metrics...]` over this replica's examples."""
        values = [self._loss(y, predictions)]
        values += [metric(y, predictions) for metric in self.metrics.values()]
        values = [tf.cast(value, tf.float32) for value in values]
        if weights is None:
            total = tf.cast(tf.size(values[0]), tf.float32)
        else:
            weights = tf.cast(weights, tf.float32)
            values = [value * weights for value in values]
            weights = tf.broadcast_to(weights, tf.shape(values[0]))
            total = tf.reduce_sum(weights)
        return [total, *[tf.reduce_sum(value) for value in values]]


def _per_example(loss):
    """Return `(y, y_pred) -> loss of each example`, unreduced."""
    loss = keras.losses.get(loss)
    return loss.call if isinstance(loss, keras.losses.Loss) else loss
