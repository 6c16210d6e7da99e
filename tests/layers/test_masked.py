import keras
import numpy as np
import pytest
import tiny

import rigl_tf
from rigl_tf.layers import candidates
from rigl_tf.layers import constraint
from rigl_tf.layers import masked

MASKED_LAYERS = [
    (lambda: keras.layers.Dense(3), (4,), 1),
    (lambda: keras.layers.Conv1D(3, 2), (5, 2), 1),
    (lambda: keras.layers.Conv2D(3, 2), (5, 5, 2), 1),
    (lambda: keras.layers.Conv2DTranspose(3, 2), (5, 5, 2), 1),
    (lambda: keras.layers.SeparableConv2D(3, 2), (5, 5, 2), 1),
    (lambda: keras.layers.EinsumDense("ab,bc->ac", (3,)), (4,), 1),
    (lambda: keras.layers.GRU(3), (5, 2), 2),
    (lambda: keras.layers.LSTM(3, return_sequences=True), (5, 2), 2),
    (lambda: keras.layers.Bidirectional(keras.layers.GRU(2)), (5, 2), 4),
    (
        lambda: keras.layers.TimeDistributed(keras.layers.Dense(3)),
        (5, 2),
        1,
    ),
]


@pytest.mark.parametrize("build, shape, n_masks", MASKED_LAYERS)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_wrapper_computes_what_the_layer_does(
    build, shape, n_masks, policy
):
    keras.config.set_dtype_policy(policy)
    try:
        plain = build()
        wrapped = masked.Masked(plain)
    finally:
        keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    out = wrapped(x)
    again = plain(x)
    assert out.dtype == again.dtype
    np.testing.assert_array_equal(out, again)
    assert len(wrapped.masked()) == n_masks
    symbolic = wrapped(keras.Input(shape))
    assert symbolic.shape[1:] == out.shape[1:]
    held = {id(v) for v in wrapped.non_trainable_variables}
    assert {id(mask) for _, _, mask in wrapped.masked()} <= held
    assert len(wrapped.trainable_variables) == len(plain.trainable_variables)


@pytest.mark.parametrize("build, shape, n_masks", MASKED_LAYERS)
def test_saved_models_keep_masks_and_targets(build, shape, n_masks, tmp_path):
    model = keras.Sequential([keras.Input(shape), build()])
    model = rigl_tf.sparsify(model, 0.5, "uniform")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    before = rigl_tf.masked_kernels(model)
    after = rigl_tf.masked_kernels(loaded)
    assert len(after) == n_masks
    for a, b in zip(before, after):
        assert (a.path, a.sparsity) == (b.path, b.sparsity) == (a.path, 0.5)
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())
        np.testing.assert_array_equal(a.kernel.numpy(), b.kernel.numpy())
        assert isinstance(b.kernel.constraint, constraint.MaskConstraint)
    x = np.random.default_rng(0).normal(size=(2, *shape))
    np.testing.assert_array_equal(model(x), loaded(x))


def test_weights_only_files_keep_masks(tmp_path):
    model = rigl_tf.sparsify(tiny.mlp(), 0.5, seed=1)
    model.save_weights(tmp_path / "a.weights.h5")
    other = rigl_tf.sparsify(tiny.mlp(), 0.5, seed=2)
    other.load_weights(tmp_path / "a.weights.h5")
    for a, b in zip(
        rigl_tf.masked_kernels(model), rigl_tf.masked_kernels(other)
    ):
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())


def test_masks_have_rank_two_kernels_and_nothing_else():
    model = tiny.convolutional()
    assert list(candidates.maskable_kernels(model)) == [
        "conv/kernel",
        "separable/pointwise_kernel",
        "out/kernel",
    ]


def test_frozen_layers_and_embeddings_stay_dense():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Embedding(7, 3),
            keras.layers.GRU(2, name="gru"),
            keras.layers.Dense(2, name="frozen", trainable=False),
        ]
    )
    assert list(candidates.maskable_kernels(model)) == [
        "gru/cell/kernel",
        "gru/cell/recurrent_kernel",
    ]


def test_a_layer_without_kernels_is_refused():
    wrapped = masked.Masked(keras.layers.BatchNormalization(name="norm"))
    with pytest.raises(ValueError, match="kernel of rank 2 or more.*'norm'"):
        wrapped(np.ones((2, 3), "float32"))


def test_training_and_dropout_pass_through():
    layer = masked.Masked(keras.layers.GRU(2, dropout=0.9))
    x = np.ones((8, 3, 4), "float32")
    assert not np.array_equal(layer(x, training=True), layer(x))
    np.testing.assert_array_equal(layer(x), layer(x, training=False))


def test_a_kernels_own_constraint_stays_in_force():
    dense = keras.layers.Dense(3, kernel_constraint="non_neg")
    model = keras.Sequential([keras.Input((4,)), dense])
    model = rigl_tf.sparsify(model, 0.5)
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 4)), np.zeros((8, 3)), verbose=0)
    (item,) = rigl_tf.masked_kernels(model)
    assert (item.kernel.numpy() >= 0).all()
    assert item.mask.numpy().mean() == 0.5
    assert not tiny.off_mask(item, item.kernel).any()
