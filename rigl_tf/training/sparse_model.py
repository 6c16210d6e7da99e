"""`compile` and `fit` for masked models."""

import inspect
import typing
import warnings

import keras
import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.layers import model_paths
from rigl_tf.layers import sparse_kernels
from rigl_tf.training import fit_function
from rigl_tf.training import steps
from rigl_tf.training import trained_variables


@keras.saving.register_keras_serializable(package="rigl_tf")
class SparseModel(keras.Model):
    """A masked model that trains with `compile` and `fit`.

    Works on one device and under MirroredStrategy, with callbacks, validation
    and `steps_per_execution`. For other strategies use `rigl_tf.SparseTrainer`.

    An update on a batch (RigL, SNIP) takes a batch of its own from the data
    and is no step: an epoch over n batches with u updates makes n - u steps;
    with `steps_per_epoch=n` it makes n steps and takes n + u batches. If no
    batch is left for a step, the epoch makes one on the batch of the update.

    A window of updates that is a fraction of the run (`update_end_step=0.75`,
    the default) is one of the `epochs` of the first `fit` times their batches,
    or `steps_per_epoch`; later calls of `fit` keep it.

    A loss of your own goes into `gradients`, which steps and updates share; a
    whole step of your own into `train_step`. `fit` reports the metrics of
    the model, including those of a subclass, not what `train_step` returns.

    Args:
        model: result of `rigl_tf.sparsify`; with `updater=None` a model without
            masks.
        updater: `updaters.MaskUpdater`, or its name or configuration, see
            `updaters.get`; None trains densely.
        **kwargs: as `keras.Model`.

    Raises:
        TypeError: the model is no Keras model, or the updater no updater.
        ValueError: model and updater do not fit, or the model overrides
            `train_step` or `compute_loss`, which would not be called.

    Example:
        >>> dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
        >>> masked = rigl_tf.sparsify(dense, 0.5)
        >>> sparse = SparseModel(masked, updaters.Static())
        >>> sparse.compile(optimizer="sgd", loss="mse")
        >>> history = sparse.fit(np.ones((4, 8)), np.ones((4, 2)), verbose=0)
    """

    transparent_path = True
    only_trains = True
    train_function: typing.Any  # of `keras.Model`

    def __init__(
        self,
        model: keras.Model,
        updater: str | dict[str, typing.Any] | updaters.MaskUpdater | None,
        **kwargs: typing.Any,
    ):
        super().__init__(**kwargs)
        _require_model(model, updater)
        _require_keras_step(model)
        self.model = model
        self.updater = updaters.get(updater)
        if self.updater is None:
            trained_variables.require_plain(model)
        else:
            sparse_kernels.all_kernels(model)
        self.built = True
        self._steps: typing.Any = None  # until `compile`

    @property
    def layer(self) -> keras.Model:
        """The masked model, under the name that wrappers use."""
        return self.model

    def call(self, *args: typing.Any, **kwargs: typing.Any) -> typing.Any:
        """Call the masked model."""
        return self.model(*args, **kwargs)

    def compile(self, *args: typing.Any, **kwargs: typing.Any) -> None:
        """Configure training, as `keras.Model.compile`.

        Raises:
            ValueError: the optimizer's slots cannot be mapped to the kernels.
        """
        super().compile(*args, **kwargs)
        if self.loss is not None and self.updater is not None:
            self.updater.check_loss(self.loss)
        self._steps = steps.SparseSteps(
            self.model, self.updater, self.optimizer, self.distribute_strategy
        )

    def compile_from_config(self, config: dict[str, typing.Any]) -> None:
        """Compile with what `get_compile_config` returned."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def steps(self) -> steps.SparseSteps:
        """The `SparseSteps`, for a loop of your own; None before `compile`."""
        return self._steps

    def train_step(self, data: typing.Any) -> dict[str, tf.Tensor]:
        """Apply the masked gradients of one batch."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        predictions, gradients = self.gradients(data)
        self._steps.apply_gradients(gradients)
        return self.compute_metrics(x, y, predictions, sample_weight=weights)

    def gradients(
        self, data: typing.Any, temperature: float = 1.0
    ) -> tuple[typing.Any, list[tf.Tensor | None]]:
        """Return predictions and dense gradients of one batch.

        Override it for a loss of your own; scale the loss with
        `optimizer.scale_loss`, as here, if precision is mixed.

        Args:
            data: batch `x`, `(x, y)` or `(x, y, sample_weight)`.
            temperature: what logits are divided by; given only if an updater
                has one (GraSP).

        Returns:
            `(predictions, gradients)`, these a list like
            `steps.trained_variables`, of this replica's share of the loss.
        """
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predictions = self(x, training=True)
            # Private in Keras 3.12 to 3.15: `compute_loss` with the signature
            # of any subclass. The tests of losses of your own see a change.
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
        # Private in Keras 3.12 to 3.15; Keras' `train_step` does the same. The
        # tests that compare histories with plain Keras see a change.
        self._loss_tracker.update_state(
            loss * replicas, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0]
        )
        variables = [v.value for v in self._steps.trained_variables]
        return predictions, tape.gradient(scaled, variables)

    def save_own_variables(self, store: typing.Any) -> None:
        """Save the counters, the state of the method and the seed states."""
        for name, variable in self._own_state().items():
            store[name.replace("/", ".")] = variable

    def load_own_variables(self, store: typing.Any) -> None:
        """Load what `save_own_variables` saved, into a compiled model."""
        own = {n.replace("/", "."): v for n, v in self._own_state().items()}
        differing = sorted(own.keys() ^ set(store.keys()))
        if differing:
            raise ValueError(
                "A `SparseModel` must be compiled before its weights are "
                "loaded, with the updater that they were saved with: its "
                "counters and the updater's state belong to them. Received: "
                f"{differing[0]!r} on one side only"
            )
        for name, variable in own.items():
            variable.assign(store[name])
        if own:
            self._steps.plan(None)
        if self.train_function is not None:
            self.train_function.forget_steps()

    def _own_state(self):
        if self._steps is None:
            return {}
        seeds = model_paths.seed_states(self.model)
        return {**self._steps.state(), **seeds}

    def get_config(self) -> dict[str, typing.Any]:
        """Return the configurations of model and updater."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "model": serialize(self.model),
            "updater": serialize(self.updater),
        }

    @classmethod
    def from_config(
        cls,
        config: dict[str, typing.Any],
        custom_objects: dict[str, typing.Any] | None = None,
    ) -> typing.Self:
        """Build a model from `get_config`'s dictionary; compile it again."""
        parts = {
            name: keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
            for name in ("model", "updater")
        }
        return cls(**parts, name=config["name"])

    def get_build_config(self) -> None:
        """Return None: the model inside is built."""

    def fit(
        self, *args: typing.Any, **kwargs: typing.Any
    ) -> keras.callbacks.History:
        """Train, as `keras.Model.fit`.

        Raises:
            ValueError: the updater's window is a fraction of the run, and the
                number of steps in an epoch is unknown.
        """
        if self._steps is None:
            return super().fit(*args, **kwargs)  # says that it wants `compile`
        # Anything may have happened since the last `fit`.
        self._steps.repair()
        if self.train_function is not None:
            self.train_function.forget_steps()
        given = inspect.signature(keras.Model.fit).bind(self, *args, **kwargs)
        callbacks = given.arguments.get("callbacks") or []
        planning = _PlanUpdates(given.arguments.get("initial_epoch", 0))
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = callbacks.callbacks
        callbacks = [*keras.tree.flatten(callbacks), planning]
        given.arguments["callbacks"] = callbacks
        with warnings.catch_warnings():
            if self.updater is not None and self.updater.needs.batch:
                # Epochs are shorter, see above.
                warnings.filterwarnings("ignore", "Your input ran out of data")
            return super().fit(*given.args[1:], **given.kwargs)

    def save(self, *args: typing.Any, **kwargs: typing.Any) -> typing.NoReturn:
        """Raise: save the masked model, or its plain copy, instead.

        Raises:
            ValueError: always, with what to call instead.
        """
        raise ValueError(
            "A `SparseModel` is for training only. Save "
            "`rigl_tf.strip(model)`, or the masked `model`, or weights with "
            "`save_weights` and `ModelCheckpoint(..., save_weights_only=True)`"
        )

    def export(
        self, *args: typing.Any, **kwargs: typing.Any
    ) -> typing.NoReturn:
        """Raise: export the plain model instead.

        Raises:
            ValueError: always, with what to call instead.
        """
        raise ValueError(
            "A `SparseModel` is for training only. Export the plain model: "
            "`rigl_tf.strip(model).export(...)`"
        )

    def make_train_function(self, force: bool = False) -> None:
        """Build the function that `fit` calls for `steps_per_execution`."""
        if self.train_function is not None and not force:
            return
        self.train_function = fit_function.FitFunction(
            self, self.train_step, self._update_step
        )

    def _update_step(self, data=None):
        self._steps.update_on(data, self.gradients)


class _PlanUpdates(keras.callbacks.Callback):
    """Plan the mask updates once Keras knows the length of the run.

    Must be the last callback, after those that resume a run.

    Args:
        initial_epoch: the first epoch of the run.
    """

    def __init__(self, initial_epoch):
        super().__init__()
        self._initial_epoch = initial_epoch

    def on_train_begin(self, logs=None):
        """Plan the window of mask updates."""
        model, steps_per_epoch = self.model, self.params["steps"]
        if steps_per_epoch is None:
            n_steps = None
        else:
            # BackupAndRestore overrides it so (Keras 3.12 to 3.15).
            first = model._initial_epoch or self._initial_epoch
            n_epochs = self.params["epochs"] - first
            n_steps = model.steps.step + n_epochs * steps_per_epoch
        model.steps.plan(n_steps)
        updater = model.steps.updater
        if updater is not None and updater.has_fractions:
            raise ValueError(
                "`fit` must know the length of the run, as the window of mask "
                "updates is a fraction of it: give `steps_per_epoch`, or set "
                "`update_end_step` in steps. Received: data of unknown length "
                f"and {updater!r}"
            )


def _require_model(model, updater):
    """Raise TypeError unless the first argument is a Keras model."""
    if isinstance(model, keras.Model):
        return
    swapped = isinstance(updater, keras.Model)
    raise TypeError(
        "`SparseModel` takes the model first, then the updater: "
        "`SparseModel(model, updater)`. Received: "
        f"{'the updater first' if swapped else repr(model)}"
    )


def _require_keras_step(model):
    """Raise ValueError if the model overrides a step that would be ignored."""
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
