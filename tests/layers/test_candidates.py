"""Which weights count as kernels."""

import keras
from keras import layers as kl
from keras import ops
import numpy as np
import pytest
import zoo_of_today

import rigl_tf
from rigl_tf.layers import graphs


def masked(model, **options):
    model = rigl_tf.sparsify(model, 0.5, "uniform", **options)
    return {item.path for item in rigl_tf.masked_kernels(model)}


def why(model):
    return {row["path"]: row["why"] for row in rigl_tf.summary(model)}


@pytest.mark.parametrize(
    "build, added",
    [
        (zoo_of_today.vision_transformer, {"tokens/cls", "tokens/pos"}),
        (zoo_of_today.language_model, {"positions/pos"}),
        (zoo_of_today.own_kernels, {"mixing/scale"}),
    ],
)
def test_what_is_only_added_or_scaled_is_no_kernel(build, added):
    model = build()
    assert not masked(model) & added
    reasons = why(rigl_tf.sparsify(model, 0.5))
    for path in added:
        assert reasons[path].endswith("no product or convolution uses it")
        assert masked(model, masked_layers=path) == {path}


def test_kernels_of_own_layers_and_cells_are_masked():
    assert masked(zoo_of_today.own_kernels()) == {
        "mixing/w",
        "mixing/v",
        "dense/kernel",
    }
    assert {"rnn/cell/w", "rnn/cell/u"} <= masked(zoo_of_today.recurrent())


class Latents(kl.Layer):
    """Learned queries, projected by another layer, and products of its own."""

    def build(self, shape):
        width = shape[-1]
        self.latents = self.add_weight(shape=(2, width), name="latents")
        self.down = self.add_weight(shape=(width, 2), name="down")
        self.up = self.add_weight(shape=(2, width), name="up")
        self.chosen = self.add_weight(shape=(width, width), name="chosen")
        self.project = kl.Dense(width)
        self.project.build(shape)

    def call(self, x):
        queries = self.project(self.latents)
        scores = ops.matmul(queries, ops.transpose(x, (0, 2, 1)))
        x = ops.matmul(x, ops.matmul(self.down, self.up))
        x = ops.cond(
            ops.sum(x) > 0, lambda: ops.matmul(x, self.chosen), lambda: x
        )
        return ops.matmul(ops.softmax(scores), x)


def test_tokens_that_another_layer_projects_are_no_kernels():
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, Latents()(inputs))
    assert masked(model) == {
        "latents/down",
        "latents/up",
        "latents/chosen",
        "latents/project/kernel",
    }


class OnHost(kl.Layer):
    """A layer that cannot be traced."""

    def build(self, shape):
        self.pos = self.add_weight(shape=(1, shape[-1]), name="pos")
        self.w = self.add_weight(shape=(shape[-1], 3), name="w")

    def call(self, x):
        return np.asarray(x + self.pos) @ np.asarray(self.w)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 3)


def test_a_rule_decides_where_nothing_can_be_traced():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, OnHost(name="host")(inputs))
    assert masked(model) == {"host/w"}
    reason = why(model)["host/pos"]
    assert "leading dimension 1, and not traced (" in reason


class Tied(keras.Model):
    """Tokens in, so that floating-point inputs fail."""

    def __init__(self):
        super().__init__()
        self.table = self.add_weight(shape=(16, 8), name="table")
        self.pos = self.add_weight(shape=(5, 8), name="pos")

    def call(self, tokens):
        x = ops.take(self.table, tokens, 0) + self.pos
        return ops.matmul(x, ops.transpose(self.table))


def test_models_of_tokens_are_traced():
    model = Tied()
    model(np.zeros((2, 5), np.int32))
    reasons = why(model)
    assert "no product" in reasons["pos"]
    assert "not masked yet" in reasons["table"]


def test_layers_of_keras_are_not_traced(monkeypatch):
    monkeypatch.setattr(graphs, "record", None)
    assert masked(zoo_of_today.u_net()) and masked(zoo_of_today.video())
