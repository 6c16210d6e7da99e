"""Models, timing and reports that the benchmarks share."""

import json
import os
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import models
from rigl_tf import updaters
from rigl_tf.experiments import one_dnn

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
STEPS_PER_CALL = 20


def digits_mlp():
    """Build the digits task's model; batches of 100."""
    return models.mlp((8, 8, 1), 10), 100


def wide_mlp():
    """Build a 4.2 M-weight MLP, in which weights dominate; batches of 64."""
    return models.mlp((1024,), 10, hidden=(2048, 1024)), 64


def residual_cnn():
    """Build a small residual network with BatchNorm; batches of 32."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, padding="same")(inputs)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        skip = keras.layers.Conv2D(filters, 1, strides=strides)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Conv2D(filters, 3, strides=strides, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Conv2D(filters, 3, padding="same")(x)
        x = keras.layers.Add()([x, skip])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    return keras.Model(inputs, keras.layers.Dense(10)(x)), 32


def wrn22_2():
    """Build the WideResNet of CIFAR-10; batches of 16."""
    return models.wide_resnet((32, 32, 3), 10), 16


def resnet50():
    """Build ResNet-50 for 64x64 images; batches of 4."""
    return models.resnet((64, 64, 3), 1000), 4


def gru():
    """Build the character GRU, its states all zero; 32 texts of 64."""
    net = models.char_gru((64,))
    characters = keras.Input((64,), dtype="int32")
    logits, _ = net([characters, keras.ops.zeros((32, 512))])
    return keras.Model(characters, logits), 32


def gpt():
    """Build a small GPT: four blocks of width 128; 16 texts of 64."""
    kl = keras.layers
    tokens = keras.Input((64,), dtype="int32")
    x = kl.Embedding(256, 128)(tokens)
    for _ in range(4):
        y = kl.LayerNormalization()(x)
        y = kl.MultiHeadAttention(4, 32)(y, y, use_causal_mask=True)
        x = kl.Add()([x, y])
        y = kl.Dense(512, "gelu")(kl.LayerNormalization()(x))
        x = kl.Add()([x, kl.Dense(128)(y)])
    logits = kl.Dense(256)(kl.LayerNormalization()(x))
    return keras.Model(tokens, logits), 16


MODELS = {
    build.__name__: build
    for build in (
        digits_mlp,
        wide_mlp,
        residual_cnn,
        wrn22_2,
        resnet50,
        gru,
        gpt,
    )
}


def optimizer():
    """Return the optimizer of all candidates."""
    return keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)


def updater():
    """Return RigL, whose updates never fall into the measurement."""
    return updaters.RigL(
        update_interval=10**9, update_begin_step=10**8, update_end_step=10**10
    )


def batches(model, batch_size):
    """Return an endless iterator over one random batch."""
    rng = np.random.default_rng(0)
    shape = (batch_size, *model.input_shape[1:])
    x = rng.normal(size=shape).astype(np.float32)
    if model.inputs[0].dtype == "int32":
        x = rng.integers(0, 256, shape, np.int32)
    y = rng.integers(
        0, model.output_shape[-1], (batch_size, *model.output_shape[1:-1])
    )
    data = tf.data.Dataset.from_tensors((tf.constant(x), tf.constant(y)))
    return iter(data.cache().repeat())


def measure(candidates, n_rounds):
    """Time candidates in turn; return their median milliseconds."""
    names = list(candidates)
    times = {name: [] for name in names}
    for _ in range(3):  # trace, allocate, settle
        for name in names:
            candidates[name]()
    for index in range(n_rounds):
        start = index % len(names)
        for name in names[start:] + names[:start]:
            began = time.perf_counter()
            candidates[name]()
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(t) for name, t in times.items()}


def software():
    """Say which TensorFlow ran, for the line below a table."""
    return f"TensorFlow {tf.__version__}, oneDNN {one_dnn.state()}"


def write_json(path, value):
    """Write figures to a file, unless no file was named."""
    if path:
        with open(path, "w", encoding="utf-8") as stream:
            json.dump(value, stream, indent=1)
