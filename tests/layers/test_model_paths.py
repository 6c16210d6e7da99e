import keras
import pytest
import tiny

import rigl_tf
from rigl_tf.layers import model_paths


def test_names_do_not_depend_on_what_was_built_before():
    first = list(model_paths.variables_by_path(tiny.nested()))
    for _ in range(3):
        keras.layers.Dense(2)
    assert list(model_paths.variables_by_path(tiny.nested())) == first
    assert first == [
        "shared/kernel",
        "shared/bias",
        "inner/dense/kernel",
        "inner/dense/bias",
        "inner/dropout/seed_generator_state",
        "inner/dense_1/kernel",
        "inner/dense_1/bias",
        "dense/kernel",
        "dense/bias",
    ]


def test_masked_and_plain_models_share_paths():
    model = tiny.nested()
    plain = model_paths.variables_by_path(model)
    masked = model_paths.variables_by_path(rigl_tf.sparsify(model, 0.5))
    assert set(plain) < set(masked)
    assert all(path.endswith("_mask") for path in masked.keys() - plain.keys())


def test_every_variable_has_one_path():
    inputs = keras.Input((5, 4))
    x = keras.layers.Bidirectional(
        keras.layers.GRU(3, return_sequences=True, dropout=0.1)
    )(inputs)
    x = keras.layers.MultiHeadAttention(2, 2)(x, x)
    model = keras.Model(inputs, keras.layers.LSTM(2)(x))
    named = model_paths.variables_by_path(model)
    assert {id(v) for v in model.weights} <= {id(v) for v in named.values()}
    assert len({id(v) for v in named.values()}) == len(named)
    assert "bidirectional/forward_layer/cell/recurrent_kernel" in named
    assert "multi_head_attention/query_dense/kernel" in named
    assert "lstm/cell/kernel" in named


class _Block(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Dense(2), {"out": keras.layers.Dense(2)}]

    def build(self, shape):
        self.parts[0].build(shape)
        self.parts[1]["out"].build(shape)
        self.twins = [
            self.add_weight(name="w", shape=(2,)),
            self.add_weight(name="w", shape=(2,)),
        ]


def test_lists_dictionaries_and_equal_names_are_told_apart():
    block = _Block()
    block.build((None, 2))
    assert list(model_paths.variables_by_path(block)) == [
        "w",
        "w_1",
        "parts/0/kernel",
        "parts/0/bias",
        "parts/1/out/kernel",
        "parts/1/out/bias",
    ]


@pytest.mark.parametrize(
    "name, automatic", [("conv2d", "conv2d"), ("mine", "mine")]
)
def test_names_of_the_author_are_kept(name, automatic):
    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3, name=name)]
    )
    assert f"{automatic}/kernel" in model_paths.variables_by_path(model)


class _Unnamed(keras.layers.Layer):
    def build(self, shape):
        self.first = self.add_weight(shape=(shape[-1], 2))
        self.second = self.add_weight(shape=(2,))

    def call(self, x):
        return keras.ops.matmul(x, self.first) + self.second


def test_weights_without_a_name_go_by_their_order():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, _Unnamed(name="own")(inputs))
    expected = ["own/variable", "own/variable_1"]
    assert list(model_paths.variables_by_path(model)) == expected
    (item,) = rigl_tf.masked_kernels(rigl_tf.sparsify(model, 0.5))
    assert item.path == "own/variable"
