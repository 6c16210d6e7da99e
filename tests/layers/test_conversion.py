"""Dense layers become truly sparse ones, and dense ones again."""

import keras
import numpy as np
import pytest
import sparse_layers

import rigl_tf
from rigl_tf import accounting
from rigl_tf import sparse
from rigl_tf.layers import sparse_kernels


def kernels(model):
    return sparse_kernels.sparse_kernels(model)


@pytest.mark.parametrize("first_mask", ["random", "magnitude"])
def test_connections_are_those_of_the_mask(first_mask):
    keras.utils.set_random_seed(0)
    dense = sparse_layers.mlp()
    masked, truly = (
        rigl_tf.sparsify(
            dense,
            0.9,
            dense_layers=["out"],
            seed=3,
            first_mask=first_mask,
            compute=compute,
        )
        for compute in ("masked", "sparse")
    )
    pairs = list(zip(rigl_tf.masked_kernels(masked), kernels(truly)))
    assert len(pairs) == 2
    for theirs, ours in pairs:
        assert ours.path == theirs.path
        positions = np.flatnonzero(theirs.mask.numpy())
        np.testing.assert_array_equal(ours.layer.positions(), positions)
        np.testing.assert_array_equal(
            ours.layer.matrix().toarray(), theirs.kernel.numpy()
        )
    x, _ = sparse_layers.arrays(8)
    np.testing.assert_allclose(truly(x), masked(x), atol=1e-6)


@pytest.mark.parametrize("first_mask", ["random", "magnitude"])
def test_blocks_are_those_of_the_mask(first_mask):
    pair = [
        sparse_layers.network(
            compute, 0.8, pattern="block_4x4", first_mask=first_mask
        )
        for compute in ("masked", "block")
    ]
    found = zip(rigl_tf.masked_kernels(pair[0]), kernels(pair[1]))
    for theirs, ours in found:
        np.testing.assert_array_equal(ours.dense_mask(), theirs.mask.numpy())
        np.testing.assert_array_equal(
            ours.layer.matrix().toarray(), theirs.kernel.numpy()
        )
    plain = rigl_tf.strip(pair[1])
    x, _ = sparse_layers.arrays(8)
    np.testing.assert_allclose(plain(x), pair[1](x), atol=1e-5)


@pytest.mark.parametrize(
    "compute, pattern", [("sparse", "unstructured"), ("block", "block_4x4")]
)
def test_costs_are_those_of_the_masked_network(compute, pattern):
    masked, truly = (
        sparse_layers.network(name, 0.9, pattern=pattern)
        for name in ("masked", compute)
    )
    ours, theirs = accounting.count(truly), accounting.count(masked)
    for name in ("flops", "parameters", "active", "bytes", "csr_bytes"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.dense.flops == theirs.dense.flops
    assert [la.kernels for la in ours.layers] == [
        la.kernels for la in theirs.layers
    ]


def test_the_summary_names_truly_sparse_kernels(capsys):
    rows = rigl_tf.summary(sparse_layers.network())
    shown = capsys.readouterr().out
    described = {row["path"]: (row["shape"], row["why"]) for row in rows}
    assert described["fc1/kernel"] == ((20, 64), "truly sparse")
    assert "out/kernel" in described and "row_starts" not in shown


def test_pictures_show_truly_sparse_kernels():
    pair = [
        rigl_tf.plots.layer_sparsities(sparse_layers.network(compute)).axes[0]
        for compute in ("masked", "sparse")
    ]
    titles = {axes.get_title() for axes in pair}
    assert len(titles) == 1
    ours, theirs = ([p.get_width() for p in axes.patches] for axes in pair)
    assert ours == theirs


def test_kernels_that_are_truly_sparse_get_no_masks():
    model = keras.Sequential(
        [
            keras.Input((20,)),
            sparse.BlockDense(16, 0.2, block=4),
            keras.layers.Dense(8, name="dense"),
        ]
    )
    masked = rigl_tf.sparsify(model, 0.5)
    assert [k.path for k in rigl_tf.masked_kernels(masked)] == ["dense/kernel"]
    (kernel,), (before,) = kernels(masked), kernels(model)
    np.testing.assert_array_equal(
        kernel.layer.matrix().toarray(), before.layer.matrix().toarray()
    )


def test_stripped_models_are_plain_keras():
    truly = sparse_layers.network()
    x, _ = sparse_layers.arrays(8)
    plain = rigl_tf.strip(truly)
    assert {type(layer) for layer in plain.layers} == {keras.layers.Dense}
    np.testing.assert_allclose(plain(x), truly(x), atol=1e-6)
    kept = rigl_tf.strip(truly, keep_sparse=True)
    assert len(kernels(kept)) == 2
    np.testing.assert_array_equal(kept(x), truly(x))


def test_layers_keep_what_the_dense_ones_had():
    dense = keras.Sequential(
        [
            keras.Input((20,)),
            keras.layers.Dense(
                30,
                "tanh",
                use_bias=False,
                kernel_regularizer="l2",
                activity_regularizer="l1",
                name="fc",
            ),
        ]
    )
    (layer,) = rigl_tf.sparsify(dense, 0.9, compute="sparse").layers
    assert isinstance(layer, sparse.SparseDense)
    assert layer.name == "fc" and layer.bias is None
    assert layer.activation is keras.activations.tanh
    assert isinstance(layer.kernel_regularizer, keras.regularizers.L2)
    assert isinstance(layer.activity_regularizer, keras.regularizers.L1)


def test_what_cannot_be_sparse_is_masked():
    """Convolutions, dense kernels, constraints, unusual initializers."""
    dense = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(30, kernel_constraint="non_neg", name="bound"),
            keras.layers.Dense(30, kernel_initializer="orthogonal", name="q"),
            keras.layers.Dense(30, name="full"),
            keras.layers.Dense(30, name="sparse"),
        ]
    )
    model = rigl_tf.sparsify(
        dense, 0.8, "uniform", custom={"full": 0.3}, compute="sparse"
    )
    assert [k.path for k in kernels(model)] == ["sparse/kernel"]
    masked = [k.path for k in rigl_tf.masked_kernels(model)]
    assert masked == [f"{n}/kernel" for n in ("conv", "bound", "q", "full")]


def test_auto_takes_large_and_sparse_kernels():
    def build():
        return keras.Sequential(
            [
                keras.Input((600,)),
                keras.layers.Dense(600, name="large"),
                keras.layers.Dense(600, name="dense"),
                keras.layers.Dense(20, name="small"),
            ]
        )

    model = rigl_tf.sparsify(
        build(), 0.95, "uniform", custom={"dense": 0.8}, compute="auto"
    )
    assert [k.path for k in kernels(model)] == ["large/kernel"]


def test_functions_build_what_fits_nowhere():
    """Of 3.6 G positions, 14 GB if they were allocated."""

    def build():
        return keras.Sequential(
            [
                keras.Input((60_000,)),
                keras.layers.Dense(60_000, "relu", name="wide"),
                keras.layers.Dense(5, name="out"),
            ]
        )

    model = rigl_tf.sparsify(
        build, 0.99999, dense_layers=["out"], compute="sparse"
    )
    (kernel,) = kernels(model)
    assert kernel.layer.n_active == pytest.approx(36_000, abs=1)
    assert model(np.ones((2, 60_000), np.float32)).shape == (2, 5)
    assert kernel.layer.values.numpy().any()
    with pytest.raises(ValueError, match="sparse.save_csr.*60000 x 60000"):
        rigl_tf.strip(model)


def test_functions_build_masked_models_too():
    model = rigl_tf.sparsify(sparse_layers.mlp, 0.9)
    assert len(rigl_tf.masked_kernels(model)) == 3
    assert all(k.kernel.numpy().any() for k in rigl_tf.masked_kernels(model))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"compute": "fast"}, "masked, sparse, block, auto"),
        ({"compute": "block"}, 'pattern="block_32x32"'),
        ({"compute": "block", "pattern": "block_4x2"}, "square blocks"),
        ({"compute": "block", "pattern": "block_3x3"}, "no multiples of 3"),
        ({"compute": "sparse", "pattern": "2:4", "sparsity": 0.5}, "2:4"),
        ({"compute": "sparse", "first_mask": "dense"}, "a dense start"),
        ({"compute": "sparse", "sparsity": 0.3}, "density 0.70"),
    ],
)
def test_nothing_to_make_sparse_is_an_error(arguments, message):
    arguments = {"sparsity": 0.9, "distribution": "uniform", **arguments}
    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    with pytest.raises(ValueError, match=message):
        rigl_tf.sparsify(dense, **arguments)


def test_subclassed_models_are_told_to_hold_the_layer():
    @keras.saving.register_keras_serializable("tests")
    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = keras.layers.Dense(8)

        def build(self, shape):
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x)

    net = Net()
    net.build((None, 8))
    with pytest.raises(ValueError, match="put `sparse.SparseDense`"):
        rigl_tf.sparsify(net, 0.9, compute="sparse")
