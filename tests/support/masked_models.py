"""Models with many kinds of kernels, and what is required of masked ones."""

import keras
from keras import layers as kl
import numpy as np
import tiny

import rigl_tf
from rigl_tf import updaters


def rigl():
    return updaters.RigL(
        update_interval=4, update_end_step=8, drop_fraction=0.5
    )


def paths(model):
    return [item.path for item in rigl_tf.masked_kernels(model)]


def assert_sparse(model, sparsity):
    for item in rigl_tf.masked_kernels(model):
        active = item.mask.numpy().sum()
        assert active == item.size - int(sparsity * item.size)
        assert not tiny.off_mask(item, item.kernel).any()


def compiled(model):
    sparse = rigl_tf.SparseModel(model, rigl())
    sparse.compile(tiny.sgd(), tiny.LOSS)
    return sparse


def assert_same(a, b):
    for p, q in zip(a, b, strict=True):
        np.testing.assert_array_equal(p, q)


def pictures():
    return keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            kl.Conv2D(4, 3, name="stem"),
            kl.BatchNormalization(name="norm"),
            kl.DepthwiseConv2D(2, name="depth"),
            kl.SeparableConv2D(4, 2, name="sep"),
            kl.Flatten(),
            kl.Dense(8, name="hidden"),
            kl.Dense(3, name="out"),
        ]
    )


def words():
    inputs = keras.Input((5,), dtype="int32", name="words")
    x = kl.Embedding(10, 8, name="embed")(inputs)
    x = kl.MultiHeadAttention(2, 4, name="mha")(x, x)
    x = kl.Bidirectional(kl.GRU(4, name="gru"), name="both")(x)
    return keras.Model(inputs, kl.Dense(3, name="out")(x))
