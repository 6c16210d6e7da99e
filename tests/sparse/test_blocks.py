"""Layers of blocks compute what the dense kernel does, on any device."""

import keras
import numpy as np
import pytest
import sparse_layers
import tensorflow as tf

from rigl_tf import sparse
from rigl_tf.sparse import blocks

RANDOM = np.random.default_rng(0)


def built(units=12, n_in=20, **kwargs):
    layer = sparse.BlockDense(units, **{"density": 0.4, "block": 4, **kwargs})
    layer.build((None, n_in))
    return layer


def twin(layer):
    dense = keras.layers.Dense(layer.units, activation=layer.activation)
    dense.build((None, layer.kernel_shape[0]))
    dense.kernel.assign(layer.matrix().toarray())
    return dense


def test_kernels_are_made_of_blocks():
    layer = built()
    assert layer.grid_shape == (5, 3) and layer.values.shape == (6, 4, 4)
    mask = blocks.dense_mask(layer)
    assert mask.shape == (20, 12) and mask.sum() == 6 * 16
    np.testing.assert_array_equal(layer.matrix().toarray() != 0, mask)
    pooled = blocks.pooled(tf.constant(mask, tf.float32), 4)
    active = np.flatnonzero(pooled)
    np.testing.assert_array_equal(active, layer.positions())


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("shape", [(5, 20), (3, 2, 20), (0, 20)])
def test_products_and_gradients_are_those_of_the_dense_twin(shape, jit_compile):
    layer = built(activation="tanh")
    dense = twin(layer)
    x = tf.constant(RANDOM.normal(size=shape).astype(np.float32))

    def gradients(model, weights):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x)
            loss = tf.reduce_sum(tf.sin(y))
        return y, *tape.gradient(loss, [x, weights])

    @tf.function(jit_compile=jit_compile)
    def ours():
        return gradients(layer, layer.values.value)

    y, dx, dvalues = ours()
    expected, expected_dx, dkernel = gradients(dense, dense.kernel.value)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(dx, expected_dx, atol=1e-5)
    cut = np.reshape(dkernel, (5, 4, 3, 4)).transpose(0, 2, 1, 3)
    cut = cut.reshape(15, 4, 4)[layer.positions()]
    np.testing.assert_allclose(dvalues, cut, atol=1e-5)


@pytest.mark.slow
def test_keras_compiles_and_saves_it(tmp_path):
    x, y = sparse_layers.arrays()
    model = keras.Sequential(
        [
            keras.Input((20,)),
            built(32, activation="relu"),
            keras.layers.Dense(4),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=True)
    history = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert model.jit_compile and history[-1] < 0.5 * history[0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"units": 13}, "20 x 13 and block=4"),
        ({"n_in": 21}, "21 x 12 and block=4"),
        ({"block": 1}, "at least 2"),
        ({"density": 0.6}, "density"),
    ],
)
def test_what_blocks_do_not_fill_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        built(**kwargs)
