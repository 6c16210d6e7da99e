"""Truly sparse layers and backends for tests."""

import contextlib
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.datasets import pipelines
from rigl_tf.sparse import backends

BACKENDS = ("op", "library", "numpy")
N_STEPS = 12


@contextlib.contextmanager
def backend(name):
    """Compute products by one backend."""
    before = os.environ.get(backends.VARIABLE)
    os.environ[backends.VARIABLE] = name
    try:
        yield backends.available()
    finally:
        del os.environ[backends.VARIABLE]
        if before is not None:
            os.environ[backends.VARIABLE] = before


def every_way():
    """Return `(backend, instruction set)` of this machine, as parameters."""
    sets = ["AVX-512", "AVX2", "AVX2, 16 lanes", "portable"]
    return [
        *(("op", name) for name in sets),
        *(("library", "AVX2"), ("library", "portable"), ("numpy", "SciPy")),
    ]


@contextlib.contextmanager
def way(name, instructions):
    """Compute products in one way, or skip the test if there is none."""
    with backend(name) as found:
        if name == "numpy":
            yield found
            return
        if instructions not in found.kernels.sets:
            pytest.skip(f"this processor lacks {instructions}")
        found.kernels.choose(instructions)
        try:
            yield found
        finally:
            found.kernels.choose(found.kernels.sets[0])


def positions(generator, shape, density):
    """Draw ascending positions; some rows and columns may be empty."""
    size = shape[0] * shape[1]
    n = max(1, int(density * size))
    return np.sort(generator.choice(size, n, replace=False))


def dense(shape, flat, values):
    """Return a kernel as a float64 array."""
    kernel = np.zeros(shape[0] * shape[1])
    kernel[flat] = values
    return kernel.reshape(shape)


def mlp():
    """Build a 20-64-48-4 network whose first kernels are truly sparse soon."""
    return keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(64, "relu", name="fc1"),
            keras.layers.Dense(48, "relu", name="fc2"),
            keras.layers.Dense(4, name="out"),
        ]
    )


def network(compute="sparse", sparsity=0.9, build=mlp, **kwargs):
    """Sparsify `mlp`; the weights are the same for every `compute`."""
    keras.utils.set_random_seed(0)
    return rigl_tf.sparsify(
        build(),
        sparsity,
        dense_layers=["out"],
        compute=compute,
        seed=3,
        **kwargs,
    )


def trainer(strategy=None):
    """Build a trainer of `network` that moves connections with RigL."""
    updater = updaters.RigL(update_interval=4, update_end_step=N_STEPS)
    with strategy.scope() if strategy else contextlib.nullcontext():
        return rigl_tf.SparseTrainer(
            network(), updater, keras.optimizers.SGD(0.1), tiny.LOSS, strategy
        )


def arrays(n_examples=256):
    """Return learnable inputs and labels of `mlp`."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(n_examples, 20)).astype(np.float32)
    return x, np.argmax(x[:, :4], axis=1)


def batches(batch_size=32):
    """Return an endless dataset over `arrays`."""
    data = tf.data.Dataset.from_tensor_slices(arrays())
    return data.repeat().batch(batch_size).with_options(pipelines.UNTUNED)
