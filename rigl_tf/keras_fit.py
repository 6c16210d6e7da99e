"""`compile` and `fit` for masked models, over the same pair of steps."""

import types
import warnings

import keras
import tensorflow as tf

from rigl_tf import clocks
from rigl_tf import steps
from rigl_tf import structure


class SparseModel(keras.Model):
    """Make a masked model trainable with `compile` and `fit`.

    On one device or under MirroredStrategy, with callbacks, validation and
    `steps_per_execution`. Other strategies: use `rigl_tf.SparseTrainer`.

    An update on a batch (RigL, SNIP) takes a batch of its own from the data
    and is no step: an epoch over n batches with u updates makes n - u steps;
    with `steps_per_epoch=n` it makes n steps and takes n + u batches.

    A loss of your own goes into `gradients`, which steps and updates share; a
    whole step of your own into `train_step`. Reported are the model's metrics,
    those that a subclass holds included, not what `train_step` returns.

    Args:
        model: result of `rigl_tf.sparsify`.
        updater: `updaters.MaskUpdater`.
        **kwargs: as `keras.Model`.

    Example:
        >>> dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
        >>> masked = rigl_tf.sparsify(dense, 0.5)
        >>> sparse = SparseModel(masked, updaters.Static())
        >>> sparse.compile(optimizer="sgd", loss="mse")
        >>> history = sparse.fit(np.ones((4, 8)), np.ones((4, 2)), verbose=0)
    """

    def __init__(self, model, updater, **kwargs):
        super().__init__(**kwargs)
        _require_keras_step(model)
        self.model = model
        self.updater = updater
        self.built = True
        self._clock = None
        self._steps = None

    def call(self, *args, **kwargs):
        """Call the masked model."""
        return self.model(*args, **kwargs)

    def compile(self, *args, **kwargs):
        """Configure training, as `keras.Model.compile`.

        Raises:
            ValueError: the optimizer's slots cannot be mapped to the kernels.
        """
        super().compile(*args, **kwargs)
        if self.loss is not None:
            self.updater.check_loss(self.loss)
        self._steps = steps.SparseSteps(
            self.model, self.updater, self.optimizer, self.distribute_strategy
        )

    @property
    def steps(self):
        """The pair of steps, for a loop of your own; needs `compile`."""
        return self._steps

    def train_step(self, data):
        """Apply the masked gradients of one batch."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        predictions, gradients = self.gradients(data)
        self._steps.apply_gradients(gradients)
        return self.compute_metrics(x, y, predictions, sample_weight=weights)

    def gradients(self, data, temperature=1.0):
        """Return predictions and dense gradients of one batch.

        Override it for a loss of your own; scale the loss with
        `optimizer.scale_loss`, as here, if precision is mixed.

        Args:
            data: batch `x`, `(x, y)` or `(x, y, sample_weight)`.
            temperature: what logits are divided by; given only if an updater
                has one (GraSP).

        Returns:
            `(predictions, gradients)`, these a list like
            `trainable_variables`, of this replica's share of the loss.
        """
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predictions = self(x, training=True)
            loss = self._compute_loss(
                x=x,
                y=y,
                y_pred=keras.tree.map_structure(
                    lambda logits: logits / temperature, predictions
                )
                if temperature != 1
                else predictions,
                sample_weight=weights,
                training=True,
            )
            scaled = self.optimizer.scale_loss(loss)
        replicas = self.distribute_strategy.num_replicas_in_sync
        self._loss_tracker.update_state(
            loss * replicas, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0]
        )
        variables = [v.value for v in self.trainable_variables]
        return predictions, tape.gradient(scaled, variables)

    def save_own_variables(self, store):
        """Save counters, the method's state and the states of randomness."""
        for name, variable in self._own_state().items():
            store[name.replace("/", ".")] = variable

    def load_own_variables(self, store):
        """Load what `save_own_variables` saved, into a compiled model."""
        for name, variable in self._own_state().items():
            variable.assign(store[name.replace("/", ".")])
        self._clock = None

    def _own_state(self):
        if self._steps is None:
            raise ValueError(
                "A `SparseModel` must be compiled before its weights are saved "
                "or loaded: its counters belong to them"
            )
        seeds = structure.seed_states(self.model)
        return {**self._steps.state(), **seeds}

    def fit(self, *args, **kwargs):
        """Train, as `keras.Model.fit`."""
        # Anything may have happened since the last `fit`.
        self._clock = None
        self._steps.repair()
        with warnings.catch_warnings():
            if self.updater.updates_on_batch:  # epochs are shorter, see above
                warnings.filterwarnings("ignore", "Your input ran out of data")
            return super().fit(*args, **kwargs)

    def save(self, *args, **kwargs):
        """Refuse: what is worth keeping is the model inside.

        Raises:
            ValueError: always, with what to call instead.
        """
        raise ValueError(
            "A `SparseModel` is for training only. Save "
            "`rigl_tf.strip(model)`, or the masked `model`, or weights with "
            "`save_weights` and `ModelCheckpoint(..., save_weights_only=True)`"
        )

    def make_train_function(self, force=False):
        """Build the function that `fit` calls for `steps_per_execution`."""
        if self.train_function is not None and not force:
            return
        run_steps, update = self._run_steps, self._run_update
        if not self.run_eagerly:
            run_steps = tf.function(run_steps, autograph=False)
            update = tf.function(update, autograph=False)

        def train_function(iterator):
            if isinstance(iterator, types.GeneratorType):  # train_on_batch
                batch = [part for part in next(iterator) if part is not None]
                data = tf.data.Dataset.from_tensors(tuple(batch)).repeat()
                iterator = iter(data)
            if self._clock is None:
                self._clock = clocks.HostClock(self._steps)
            clock = self._clock
            end = clock.step + self.steps_per_execution
            logs = None
            while clock.step < end:
                if clock.due(before_step=True):
                    update(iterator)
                    clock.note_update()
                    continue
                n_steps = clock.next_stop([end]) - clock.step
                n_done, logs = run_steps(iterator, tf.constant(n_steps))
                clock.step += int(n_done)
                if int(n_done) < n_steps:
                    break
                if clock.due(before_step=False):
                    update(iterator)
                    clock.note_update()
            if logs is None or int(n_done) == 0:
                raise StopIteration
            return logs

        self.train_function = train_function

    def _run_steps(self, iterator, n_steps):
        """Run up to `n_steps` steps; return how many, and the metrics."""
        replica_step = self._compiled(self.train_step)

        def one_step(n_done, batch):
            self.distribute_strategy.run(replica_step, (batch.get_value(),))
            n_done += 1
            # Beyond the last step no batch is taken.
            batch = tf.cond(
                n_done < n_steps, iterator.get_next_as_optional, lambda: batch
            )
            return [n_done, batch]

        n_done, _ = tf.while_loop(
            lambda n_done, batch: (n_done < n_steps) & batch.has_value(),
            one_step,
            [tf.constant(0), iterator.get_next_as_optional()],
        )
        logs = self.distribute_strategy.run(self.get_metrics_result)
        return n_done, tf.nest.map_structure(self._first_replica, logs)

    def _run_update(self, iterator):
        replica_update = self._compiled(self._update_step)
        batch = ()
        if self.updater.updates_on_batch:
            batch = (next(iterator),)
        self.distribute_strategy.run(replica_update, batch)

    def _update_step(self, data=None):
        gradients = None
        if data is not None:
            temperature = self.updater.temperature
            extra = {} if temperature == 1 else {"temperature": temperature}
            gradients = self._steps.update_gradients(
                lambda: self.gradients(data, **extra)[1]
            )
        self._steps.update_masks(gradients)

    def _compiled(self, function):
        if self.run_eagerly or not self.jit_compile:
            return function
        return tf.function(function, autograph=False, jit_compile=True)

    def _first_replica(self, value):
        return self.distribute_strategy.experimental_local_results(value)[0]


def _require_keras_step(model):
    """Raise if the model trains in a way of its own, which would be lost."""
    inside = model
    while getattr(inside, "transparent_path", False):
        inside = inside.layer
    for name in ("train_step", "compute_loss"):
        if getattr(type(inside), name) is not getattr(keras.Model, name):
            raise ValueError(
                f"`SparseModel` would not call the `{name}` of "
                f"{type(inside).__name__}: subclass `SparseModel` and override "
                "`gradients` or `train_step`, or write a loop over "
                f"`steps.SparseSteps`. Received: {model.name!r}"
            )
