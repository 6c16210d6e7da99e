"""Layers and models of ones own: masked, trained, saved, stripped."""

import keras
from keras import layers as kl
from masked_models import assert_same
from masked_models import assert_sparse
from masked_models import compiled
from masked_models import paths
import numpy as np
import pytest
import tiny
import zoo

import rigl_tf


def test_subclassed_models_fit_and_come_back(tmp_path):
    dense = zoo.subclassed()
    before = dense.get_weights()
    model = rigl_tf.sparsify(dense, 0.5, "uniform")
    assert paths(model) == ["blocks/0/kernel", "blocks/1/kernel", "head/kernel"]
    x, y = tiny.arrays()
    compiled(model).fit(x, y % 3, batch_size=8, epochs=2, verbose=0)
    assert_sparse(model, 0.5)
    assert_same(dense.get_weights(), before)
    model.save(tmp_path / "masked.keras")
    loaded = keras.models.load_model(tmp_path / "masked.keras")
    other = rigl_tf.sparsify(zoo.subclassed(), 0.5, "uniform", seed=1)
    model.save_weights(tmp_path / "masked.weights.h5")
    other.load_weights(tmp_path / "masked.weights.h5")
    for again in (loaded, other):
        assert_sparse(again, 0.5)
        assert_same(again.get_weights(), model.get_weights())
        assert_same([again(x, training=False)], [model(x, training=False)])
    assert type(rigl_tf.strip(model)) is zoo.Subclassed


class NoKwargs(keras.Model):
    def __init__(self, units=4):
        super().__init__()
        self.units = units
        self.inside = kl.Dense(units)

    def call(self, x):
        return self.inside(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class NotSerialisable(keras.Model):
    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def call(self, x):
        return self.inside(x)


class TwoInputs(keras.Model):
    def __init__(self):
        super().__init__()
        self.inside = kl.Dense(3)

    def call(self, x, y):
        return self.inside(x + y)


def test_constructors_without_kwargs_are_taken():
    dense = NoKwargs(5)
    dense(np.zeros((1, 6)))
    assert rigl_tf.masked_kernels(rigl_tf.sparsify(dense, 0.5))[0].size == 30


@keras.saving.register_keras_serializable(package="test")
class Block(kl.Layer):
    """A layer without `build`, as in most tutorials."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = kl.MultiHeadAttention(2, 4)
        self.inside = keras.Sequential([kl.Dense(8, "relu"), kl.Dense(8)])

    def call(self, x):
        return x + self.inside(self.attention(x, x))


# Keras warns when it loads such layers, masked or not.
@pytest.mark.filterwarnings("ignore:.build... was called on layer")
@pytest.mark.parametrize("selector, n_masked", [(None, 7), ("out", 1)])
def test_layers_without_build_are_taken(selector, n_masked, tmp_path):
    inputs = keras.Input((5, 8))
    outputs = kl.Dense(3, name="out")(Block()(inputs))
    model = keras.Model(inputs, outputs)
    model = rigl_tf.sparsify(model, 0.5, masked_layers=selector)
    assert len(paths(model)) == n_masked
    model.save(tmp_path / "masked.keras")
    loaded = keras.models.load_model(tmp_path / "masked.keras")
    assert_same(loaded.get_weights(), model.get_weights())
    x = np.ones((2, 5, 8), np.float32)
    assert_same([rigl_tf.strip(model)(x)], [model(x)])


def test_models_that_cannot_be_rebuilt_are_refused():
    x = np.zeros((1, 6))
    one, two = NotSerialisable(kl.Dense(3)), TwoInputs()
    one(x), two(x, x)
    for model in (one, two):
        before = model.get_weights()
        with pytest.raises(ValueError, match=type(model).__name__):
            rigl_tf.sparsify(model, 0.5)
        assert_same(model.get_weights(), before)
