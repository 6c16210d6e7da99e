"""SparseDense computes, trains, saves and loads as a Keras layer."""

import keras
import numpy as np
import pytest
from scipy import sparse as scipy_sparse
import sparse_layers
import tensorflow as tf

from rigl_tf import sparse

RANDOM = np.random.default_rng(0)


def built(units=9, n_in=8, **kwargs):
    """Build a layer; its density is below that of a warning."""
    kwargs = {"density": 0.2, **kwargs}
    layer = sparse.SparseDense(units, **kwargs)
    layer.build((None, n_in))
    return layer


def twin(layer):
    """Return the dense layer with the same weights."""
    dense = keras.layers.Dense(layer.units, activation=layer.activation)
    dense.build((None, layer.kernel_shape[0]))
    dense.kernel.assign(layer.matrix().toarray())
    if layer.bias is not None:
        dense.bias.assign(layer.bias)
    return dense


@pytest.mark.parametrize("shape", [(5, 8), (3, 4, 8), (2, 3, 2, 8)])
@pytest.mark.parametrize("activation", [None, "tanh"])
def test_outputs_and_gradients_are_those_of_the_dense_twin(shape, activation):
    layer = built(activation=activation, bias_initializer="normal")
    dense = twin(layer)
    x = tf.constant(RANDOM.normal(size=shape).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours, theirs = layer(x), dense(x)
        losses = [tf.reduce_sum(tf.sin(y)) for y in (ours, theirs)]
    assert ours.shape == theirs.shape == (*shape[:-1], 9)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    ours, theirs = (tape.gradient(loss, x) for loss in losses)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    ours = tape.gradient(losses[0], layer.values.value)
    theirs = tape.gradient(losses[1], dense.kernel.value)
    at = layer.positions()
    np.testing.assert_allclose(ours, np.ravel(theirs)[at], atol=1e-5)
    np.testing.assert_allclose(
        tape.gradient(losses[0], layer.bias.value),
        tape.gradient(losses[1], dense.bias.value),
        atol=1e-5,
    )


def test_only_connections_have_weights():
    layer = built(100, 50, n_active=123, density=None)
    shapes = [tuple(v.shape) for v in layer.trainable_variables]
    assert shapes == [(123,), (100,)]
    assert max(np.prod(v.shape) for v in layer.variables) == 123
    positions = layer.positions()
    assert positions.shape == (123,) and (np.diff(positions) > 0).all()


def test_seeds_decide_the_connections():
    a, b, other = (built(seed=seed).positions() for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, other)


@pytest.mark.parametrize("backend", sparse_layers.BACKENDS)
def test_plain_fit_trains_it(backend):
    x, y = sparse_layers.arrays()
    with sparse_layers.backend(backend):
        model = keras.Sequential(
            [
                keras.Input((20,)),
                built(32, 20, activation="relu"),
                keras.layers.Dense(4),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(0.01), loss)
        history = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert not model.jit_compile  # Keras chooses it for layers that can
    assert history[-1] < 0.5 * history[0]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_casts_inputs_and_outputs(policy):
    layer = built(dtype=policy)
    x = RANDOM.normal(size=(4, 8)).astype(np.float32)
    y = layer(tf.constant(x, layer.compute_dtype))
    assert y.dtype == layer.compute_dtype and layer.values.dtype == "float32"
    np.testing.assert_allclose(
        tf.cast(y, tf.float32), x @ layer.matrix().toarray(), atol=0.05
    )


def test_regularizers_see_active_weights():
    layer = built(kernel_regularizer=keras.regularizers.L2(0.1))
    layer(np.ones((1, 8)))
    expected = 0.1 * np.sum(layer.matrix().toarray() ** 2)
    np.testing.assert_allclose(layer.losses[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["glorot_uniform", "he_normal", "lecun_uniform", "variance_scaling"],
)
def test_initializers_scale_by_the_dense_fan(name):
    layer = built(400, 300, kernel_initializer=name, density=0.2)
    dense = keras.initializers.get(name)((300, 400))
    values = layer.values.numpy()
    np.testing.assert_allclose(values.std(), np.std(dense), rtol=0.03)
    np.testing.assert_allclose(np.abs(values).max(), np.max(dense), rtol=0.05)


def test_saved_layers_come_back(tmp_path):
    model = keras.Sequential([keras.Input((8,)), built(activation="relu")])
    x = RANDOM.normal(size=(3, 8)).astype(np.float32)
    model.layers[0].connect(np.arange(14), np.arange(14.0))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras.models.clone_model(model)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(x), model(x))


def test_a_saved_model_needs_the_operations(tmp_path):
    model = keras.Sequential([keras.Input((8,)), built()])
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    x = RANDOM.normal(size=(3, 8)).astype(np.float32)
    np.testing.assert_array_equal(served.serve(x), model(x))


def test_an_rnn_may_have_one_in_its_cell():
    @keras.saving.register_keras_serializable("tests")
    class Cell(keras.layers.Layer):
        state_size = output_size = 6

        def build(self, shape):
            self.dense = built(6, shape[-1] + 6)

        def call(self, x, states):
            y = self.dense(tf.concat([x, states[0]], -1))
            return y, [y]

    layer = keras.layers.RNN(Cell())
    assert layer(np.ones((2, 5, 3), np.float32)).shape == (2, 6)


def test_matrices_are_those_of_scipy(tmp_path):
    layer = built()
    sparse.save_csr(tmp_path / "kernel.npz", layer)
    matrix = scipy_sparse.load_npz(tmp_path / "kernel.npz")
    np.testing.assert_array_equal(matrix.toarray(), layer.matrix().toarray())
    other = built(seed=5)
    sparse.load_csr(tmp_path / "kernel.npz", other)
    np.testing.assert_array_equal(
        other.matrix().toarray(), layer.matrix().toarray()
    )


@pytest.mark.parametrize(
    "entry, value, message",
    [
        ("shape", np.array([9, 8]), "a matrix of 8 x 9, has one of 9 x 8"),
        ("indices", np.full(14, 9, np.int32), "columns outside"),
        ("indices", np.zeros(14, np.int32), "out of order"),
        ("indptr", np.arange(8, -1, -1), "do not ascend"),
        ("data", np.zeros(13, np.float32), "'data'"),
    ],
)
def test_files_of_other_matrices_change_nothing(
    tmp_path, entry, value, message
):
    layer = built()
    before = layer.matrix().toarray()
    sparse.save_csr(tmp_path / "kernel.npz", layer)
    with np.load(tmp_path / "kernel.npz") as archive:
        arrays = {**archive, entry: value}
    np.savez(tmp_path / "kernel.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        sparse.load_csr(tmp_path / "kernel.npz", layer)
    np.testing.assert_array_equal(layer.matrix().toarray(), before)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"density": None}, "`density` or `n_active`"),
        ({"n_active": 3}, "not both"),
        ({"density": 0.0}, "density"),
        ({"density": 0.6}, "density"),
        ({"density": None, "n_active": 37}, "1 to 36 connections"),
        ({"dtype": "float64"}, "float32"),
        ({"kernel_initializer": "orthogonal"}, "draw each weight for itself"),
    ],
)
def test_what_cannot_be_built_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        built(**kwargs)


@pytest.mark.parametrize(
    "positions, message",
    [
        (np.arange(13), "14 integers"),
        (np.arange(14.0), "14 integers"),
        (np.arange(14) * 9, r"in \[0, 72\).*Received: 72"),
        (np.arange(14) - 1, "Received: -1"),
        (np.r_[0, np.arange(13)], "Received: 0, then 0"),
        (np.arange(14)[::-1], "Received: 13, then 12"),
    ],
)
def test_wrong_positions_are_refused(positions, message):
    layer = built()
    before = layer.positions()
    with pytest.raises(ValueError, match=message):
        layer.connect(positions)
    np.testing.assert_array_equal(layer.positions(), before)


def test_layers_that_would_be_slow_warn_with_the_factor():
    with pytest.warns(UserWarning, match=r"density of 0.50.*2.0 times"):
        built(density=0.5)


def test_xla_is_refused_in_one_line():
    model = keras.Sequential([keras.Input((8,)), built()])
    with pytest.raises((ValueError, tf.errors.OpError)):
        tf.function(model, jit_compile=True)(np.ones((1, 8), np.float32))
