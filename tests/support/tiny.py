"""Tiny models and data, quick to build and to train."""

import keras
import numpy as np
import tensorflow as tf

import rigl_tf
from rigl_tf import models
from rigl_tf.datasets import pipelines
from rigl_tf.updaters import schedules

# Of a run of the command line that updates, logs and saves.
WORDS = [
    "tasks/digits_mlp",
    "methods/rigl",
    "SPARSITY=0.9",
    "TRAIN_STEPS=12",
    "UPDATE_END_STEP=8",
    "UPDATE_INTERVAL=2",
    "LOG_INTERVAL=4",
    "CHECKPOINT_INTERVAL=6",
]
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def mlp(dtype=None):
    """Build a 6-8-4 network; kernels "fc1/kernel" and "fc2/kernel"."""
    return keras.Sequential(
        [
            keras.Input((6,), dtype=dtype),
            keras.layers.Dense(8, "relu", name="fc1", dtype=dtype),
            keras.layers.Dense(4, name="fc2", dtype=dtype),
        ],
        name="tiny",
    )


def dropout_mlp(dtype=None):
    """Build `mlp` with dropout, whose random state must be kept."""
    del dtype
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, "relu", name="fc1"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(4, name="fc2"),
        ]
    )


def nested():
    """Build a functional model with a shared layer and a nested model."""
    inner = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(5),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(3),
        ],
        name="inner",
    )
    shared = keras.layers.Dense(5, name="shared")
    inputs = keras.Input((5,))
    x = shared(keras.layers.Activation("relu")(shared(inputs)))
    return keras.Model(inputs, keras.layers.Dense(2)(inner(x)))


def convolutional():
    """Build a network with every kind of weight that stays dense, too."""
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.DepthwiseConv2D(3, name="depthwise"),
            keras.layers.SeparableConv2D(4, 2, name="separable"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, name="out"),
        ]
    )


def arrays(n_examples=64, dtype="float32"):
    """Return learnable inputs [n, 6] and labels [n] of `mlp`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_examples, 6)).astype(dtype)
    y = np.argmax(x[:, :4] + 0.1 * rng.normal(size=(n_examples, 4)), axis=1)
    return x, y


def batches(batch_size=16, dtype="float32"):
    """Return an endless dataset over `arrays`."""
    data = tf.data.Dataset.from_tensor_slices(arrays(dtype=dtype))
    return data.repeat().batch(batch_size).with_options(pipelines.UNTUNED)


def sgd():
    """Return SGD with Nesterov momentum."""
    return keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)


def masked_mlp(updater, sparsity=0.5, dtype=None, build=mlp, pattern=None):
    """Build a network with the first masks that the updater wants."""
    if pattern is None:
        constant = isinstance(updater, rigl_tf.updaters.SRigL)
        pattern = "constant_fan_in" if constant else "unstructured"
    return rigl_tf.sparsify(
        build(dtype),
        sparsity,
        "uniform",
        pattern=pattern,
        first_mask="dense" if updater.needs.dense_start else "random",
    )


def trainer(
    updater,
    optimizer=None,
    strategy=None,
    dtype=None,
    build=mlp,
    pattern=None,
    **kwargs,
):
    """Build a trainer of the masked `mlp`."""
    scope = (strategy or tf.distribute.get_strategy()).scope()
    with scope:
        model = masked_mlp(updater, dtype=dtype, build=build, pattern=pattern)
        optimizer = optimizer() if optimizer else sgd()
    return rigl_tf.SparseTrainer(
        model, updater, optimizer, LOSS, strategy, **kwargs
    )


def rigl(**kwargs):
    """Build RigL that moves half of the connections every 3 steps."""
    options = {
        "update_interval": 3,
        "update_end_step": None,
        "drop_fraction": schedules.Constant(0.5),
    }
    return rigl_tf.updaters.RigL(**{**options, **kwargs})


def sparse_model(updater, optimizer):
    """Compile a `SparseModel` of the masked `mlp`."""
    sparse = rigl_tf.SparseModel(masked_mlp(updater), updater)
    sparse.compile(optimizer, LOSS)
    return sparse


def leaks(model):
    """Count the inactive weights that are not zero."""
    items = rigl_tf.masked_kernels(model)
    return sum(np.count_nonzero(off_mask(i, i.kernel)) for i in items)


def off_mask(item, variable):
    """Return the values of `variable` at the kernel's inactive positions."""
    return np.asarray(variable)[item.mask.numpy() == 0]


def wide_resnet_trainer(strategy):
    """Build a trainer of a WideResNet, which has batch normalisation."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = rigl_tf.sparsify(
            models.wide_resnet((32, 32, 3), 10, depth=10), 0.9
        )
        optimizer = sgd()
    updater = rigl_tf.updaters.RigL(update_interval=2, update_end_step=4)
    return rigl_tf.SparseTrainer(model, updater, optimizer, LOSS, strategy)


def images(n_examples=8):
    """Return endless batches of 4 random images [32, 32, 3]."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_examples, 32, 32, 3)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, np.arange(n_examples) % 10))
    return data.repeat().batch(4)
