"""Models of today: sparsify, train, strip.

RIGL_TF_MATRIX=full adds the larger ones.
"""

import keras
import numpy as np
import params
import pytest
import tensorflow as tf
import zoo_of_today

import rigl_tf
from rigl_tf import updaters
from rigl_tf.layers import copying
from rigl_tf.layers import model_paths

# A mask update of all kernels would take long to compile.
SOME = {
    "MobileNet": ["conv_pw_1.*", "conv_preds"],
    "MobileNetV2": ["block_16_.*", "Conv_1", "predictions"],
    "MobileNetV3Small": ["expanded_conv_10_.*", "conv_1", "logits"],
    "ConvNeXtTiny": [".*stage_3_block_2_pointwise.*", ".*head_dense"],
    "DenseNet121": ["conv5_block16.*", "predictions"],
    "EfficientNetB0": ["block7a.*", "predictions"],
    "ResNet50V2": ["conv5_block3.*", "predictions"],
    "Xception": ["block14.*", "predictions"],
}
# Quick to train, and of different kinds.
QUICK = (
    "siamese",
    "many_inputs_and_outputs",
    "mixed_precision",
    "spectral_normalization",
    "own_kernels",
    "own_graph_inside",
    "autoencoder",
    "with_lambda",
    "with_lora",
)
# What Keras and KerasHub tell of themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.compile... was not called as part"),
    pytest.mark.filterwarnings("ignore:Gradients do not exist for variables"),
]


def flat(outputs):
    return [np.asarray(x, np.float32) for x in keras.tree.flatten(outputs)]


@pytest.mark.parametrize(
    "kind", params.cover(list(zoo_of_today.KINDS), quick=QUICK)
)
def test_modern_models_train(kind):
    dense = zoo_of_today.KINDS[kind]()
    x = zoo_of_today.examples(dense)
    some = SOME.get(kind)
    model = rigl_tf.sparsify(dense, 0.5, "uniform", masked_layers=some)
    assert len(model.trainable_variables) == len(dense.trainable_variables)
    variables = model_paths.variables_by_path(dense)
    for item in rigl_tf.masked_kernels(model):
        variables[item.path].assign(item.kernel)
    before = dense(x, training=False)
    found = flat(model(x, training=False))
    for a, b in zip(flat(before), found, strict=True):
        np.testing.assert_array_equal(a, b)

    masks = [i.mask.numpy() for i in rigl_tf.masked_kernels(model)]
    method = updaters.RigL(
        update_interval=2, update_end_step=2, drop_fraction=0.5
    )
    sparse = rigl_tf.SparseModel(model, method)
    # Tracing would take most of the time.
    sparse.compile(keras.optimizers.Adam(1e-3), "mse", run_eagerly=True)
    y = keras.tree.map_structure(lambda out: np.ones(out.shape), before)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    sparse.fit(data, steps_per_epoch=3, verbose=0)
    assert sparse.steps.step == 3 and sparse.steps.last_update_step == 2
    after = [i.mask.numpy() for i in rigl_tf.masked_kernels(model)]
    assert [m.sum() for m in after] == [m.sum() for m in masks]
    assert any((m != n).any() for m, n in zip(after, masks))

    plain = rigl_tf.strip(model)
    assert type(plain) is type(dense)
    found = flat(model(x, training=False))
    for a, b in zip(flat(plain(x, training=False)), found, strict=True):
        np.testing.assert_array_equal(a, b)


# Models whose class builds their graph


@pytest.mark.slow
def test_a_task_keeps_what_it_can_do():
    model = rigl_tf.strip(rigl_tf.sparsify(zoo_of_today.gpt2(), 0.5))
    model.compile(sampler="greedy")
    prompt = {
        "token_ids": np.ones((1, 6), np.int32),
        "padding_mask": np.array([[1, 1, 1, 0, 0, 0]]),
    }
    generated = model.generate(prompt, stop_token_ids=None)
    assert generated["token_ids"].shape == (1, 6)


def test_a_masked_task_is_counted():
    dense = zoo_of_today.vit_classifier()
    cost = rigl_tf.count(rigl_tf.sparsify(dense, 0.5))
    assert cost.flops < cost.dense.flops


def test_parts_that_the_graph_around_calls_stay_shared():
    core = zoo_of_today.OwnGraph(8)
    inputs = keras.Input((6,))
    x = keras.layers.Concatenate()([core.hidden(inputs), core(inputs)])
    dense = keras.Model(inputs, keras.layers.Dense(2)(x))
    model = rigl_tf.sparsify(dense, 0.0)
    plain = rigl_tf.strip(model)
    for copy in (model, plain):
        assert len(copy.trainable_variables) == len(dense.trainable_variables)
        assert not set(map(id, copy.weights)) & set(map(id, dense.weights))
        x = np.ones((2, 6), np.float32)
        np.testing.assert_array_equal(copy(x), dense(x))


def test_what_is_frozen_stays_frozen():
    dense = zoo_of_today.bert_classifier()
    dense.backbone.trainable = False
    model = rigl_tf.sparsify(dense, 0.5)
    assert [i.path for i in rigl_tf.masked_kernels(model)] == ["logits/kernel"]
    assert len(model.trainable_variables) == 2
    assert not rigl_tf.strip(model).backbone.trainable


def test_metrics_of_a_compiled_model_inside_are_its_own():
    model = rigl_tf.sparsify(zoo_of_today.bert_classifier(), 0.5)
    sparse = rigl_tf.SparseModel(model, updaters.Static())
    sparse.compile("sgd", "mse")
    assert [metric.name for metric in sparse.metrics] == ["loss"]


# LoRA, Lambda


def test_low_rank_factors_get_no_masks(capsys):
    dense = zoo_of_today.with_lora()
    model = rigl_tf.sparsify(dense, 0.5)
    assert [i.path for i in rigl_tf.masked_kernels(model)] == ["dense/kernel"]
    layer = model.get_layer("tuned")
    assert (layer.lora_rank, layer.lora_alpha) == (2, 4)
    why = {row["path"]: row["why"] for row in rigl_tf.summary(model)}
    assert "merged into the kernel" in why["tuned/lora_kernel_a"]
    assert why["tuned/kernel"] == "not trainable"

    task = zoo_of_today.gemma()
    task.backbone.enable_lora(2)
    x = zoo_of_today.examples(task)
    with pytest.raises(ValueError, match="no kernel to mask"):
        rigl_tf.sparsify(task, 0.5)
    copy = copying.copy_layer(task)
    copying.copy_state(task, copy)
    assert len(copy.trainable_variables) == len(task.trainable_variables) == 4
    np.testing.assert_array_equal(copy(x), task(x))


def test_a_lambda_in_a_wrapper_is_refused_with_the_reason():
    inner = keras.layers.Lambda(lambda x: x + 1)
    inputs = keras.Input((5, 6))
    x = keras.layers.TimeDistributed(inner)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    with pytest.raises(
        ValueError, match="disallowed by default.*enable_unsafe"
    ):
        rigl_tf.sparsify(model, 0.5)
