"""TensorFlow Model Optimization with Keras 2, for `peers.py`."""

import networks
import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras

LOSS = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Tfmot:
    """Gradual magnitude pruning."""

    method = "gradual pruning, dense to sparse"
    distribution = "uniform"

    def __init__(self, settings):
        self._settings = settings

    def version(self):
        """Return the versions that matter."""
        return (
            f"TFMOT {tfmot.__version__}, TensorFlow {tf.version.VERSION}, "
            f"Keras {tf_keras.__version__}"
        )

    def train(self, x, y):
        """Train; return how to predict, and how to get the kernels."""
        settings = self._settings
        tf_keras.utils.set_random_seed(settings["seed"])
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            0.0,
            settings["sparsity"],
            settings["prune_begin"],
            settings["end"],
            frequency=settings["interval"],
        )
        model = _masked(_lenet(), schedule)
        rate = tf_keras.optimizers.schedules.CosineDecay(
            settings["rate"], settings["steps"]
        )
        optimizer = tf_keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        model.compile(optimizer, LOSS)
        n_epochs = -(-settings["steps"] // (len(x) // settings["batch"]))
        model.fit(
            x,
            y,
            settings["batch"],
            n_epochs,
            steps_per_epoch=settings["steps"] // n_epochs,
            callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
            verbose=0,
        )
        plain = tfmot.sparsity.keras.strip_pruning(model)
        return (
            lambda images: np.argmax(plain.predict(images, 1000, 0), axis=1),
            lambda: [w for w in plain.get_weights() if w.ndim > 1],
        )

    def steps(self, x, y):
        """Return functions that make a dense and a masked step."""
        return (
            _fit_step(_resnet18(), x, y),
            _fit_step(_masked(_resnet18(), _once()), x, y),
        )

    def update(self):
        """Return a function that prunes the kernels of ResNet-50."""
        layers = [_layer(shape) for shape in networks.resnet50_kernels()]

        @tf.function(autograph=False)
        def run():
            for layer in layers:
                layer.pruning_obj.conditional_mask_update()
            for layer in layers:
                layer.pruning_obj.weight_mask_op()

        return run


def _masked(model, schedule):
    return tfmot.sparsity.keras.prune_low_magnitude(model, schedule)


def _once():
    """Return a schedule that prunes at the first step alone."""
    return tfmot.sparsity.keras.ConstantSparsity(0.9, 1, 1, frequency=1)


def _lenet():
    _, *hidden, n_classes = networks.LENET
    return tf_keras.Sequential(
        [
            tf_keras.Input((networks.LENET[0],)),
            *(tf_keras.layers.Dense(units, "relu") for units in hidden),
            tf_keras.layers.Dense(n_classes),
        ]
    )


def _conv(x, filters, size, strides=1):
    x = tf_keras.layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False
    )(x)
    return tf_keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)


def _resnet18():
    images = tf_keras.Input((32, 32, 3))
    x = tf_keras.layers.ReLU()(_conv(images, 64, 3))
    for filters, strides, projects in networks.resnet18_blocks():
        y = tf_keras.layers.ReLU()(_conv(x, filters, 3, strides))
        y = _conv(y, filters, 3)
        if projects:
            x = _conv(x, filters, 1, strides)
        x = tf_keras.layers.ReLU()(tf_keras.layers.Add()([x, y]))
    x = tf_keras.layers.GlobalAveragePooling2D()(x)
    return tf_keras.Model(images, tf_keras.layers.Dense(10)(x))


def _layer(shape):
    """Return a pruned layer that is due for an update."""
    if len(shape) == 2:
        layer = tf_keras.layers.Dense(shape[-1])
    else:
        layer = tf_keras.layers.Conv2D(shape[-1], shape[0], use_bias=False)
    schedule = tfmot.sparsity.keras.ConstantSparsity(0.9, 0, frequency=1)
    layer = _masked(layer, schedule)
    layer.build((None, *[8] * (len(shape) - 2), shape[-2]))
    layer.pruning_step.assign(1)
    return layer


def _fit_step(model, x, y):
    """Return a function that runs Keras' `train_function` once."""
    optimizer = tf_keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)
    model.compile(optimizer, LOSS)
    callback = tfmot.sparsity.keras.UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()  # does nothing for a dense model
    model.make_train_function()
    data = tf.data.Dataset.from_tensors((tf.constant(x), tf.constant(y)))
    iterator = iter(data.cache().repeat())
    return lambda: float(model.train_function(iterator)["loss"])


PEERS = {"tfmot": Tfmot}
