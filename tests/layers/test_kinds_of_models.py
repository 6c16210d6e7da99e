"""Every kind of model x loops x precisions.

A run of the tests trains each kind by `fit`, and each other loop four kinds, so
that each meets every precision; RIGL_TF_MATRIX=full runs all combinations.
"""

import contextlib
import itertools
import os

import keras
import numpy as np
import params
import pytest
import tensorflow as tf
import zoo

import rigl_tf
from rigl_tf import updaters
from rigl_tf.datasets import pipelines
from rigl_tf.layers import model_paths
from rigl_tf.training import steps

SMALL = [kind for kind in zoo.KINDS if kind != "application"]
OTHER_LOOPS = (
    *("mlp", "subclassed", "own_layer", "residual"),
    *("nested", "shared", "states", "embedding"),
)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "float64")
N_STEPS = 20
# A mask update of all kernels would take long to compile.
SOME = {"application": ["block_5_.*", "predictions"]}


@contextlib.contextmanager
def precision(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def optimizer(policy):
    inner = keras.optimizers.Adam(0.01)
    if policy != "mixed_float16":
        return inner
    return keras.optimizers.LossScaleOptimizer(inner, initial_scale=1024.0)


def batches(x, y):
    data = tf.data.Dataset.from_tensor_slices((x, y))
    return data.repeat().batch(8).with_options(pipelines.UNTUNED)


def by_fit(model, updater, policy, x, y):
    sparse = rigl_tf.SparseModel(model, updater)
    sparse.compile(optimizer(policy), LOSS, steps_per_execution=4)
    sparse.fit(batches(x, y), epochs=1, steps_per_epoch=N_STEPS, verbose=0)
    return sparse.steps


def by_trainer(model, updater, policy, x, y):
    trainer = rigl_tf.SparseTrainer(model, updater, optimizer(policy), LOSS)
    trainer.train(batches(x, y), N_STEPS)
    return trainer


def by_tape(model, updater, policy, x, y):
    pair = steps.SparseSteps(model, updater, optimizer(policy))

    def gradients(inputs, labels):
        with tf.GradientTape() as tape:
            loss = LOSS(labels, model(inputs, training=True))
            loss = pair.optimizer.scale_loss(loss)
        return tape.gradient(loss, [v.value for v in model.trainable_variables])

    @tf.function(autograph=False)
    def step(inputs, labels):
        pair.apply_gradients(gradients(inputs, labels))

    @tf.function(autograph=False)
    def update(inputs, labels):
        pair.update_masks(gradients(inputs, labels))

    for batch in batches(x, y):
        if pair.step == N_STEPS:
            return pair
        (update if pair.update_due() else step)(*batch)


LOOPS = {"fit": by_fit, "trainer": by_trainer, "tape": by_tape}


def cells():
    if os.environ.get("RIGL_TF_MATRIX") == "full":
        return list(itertools.product(zoo.KINDS, LOOPS, PRECISIONS))
    found = []
    for i, kind in enumerate(SMALL):
        found.append((kind, "fit", PRECISIONS[i % 4]))
    for i, kind in enumerate(OTHER_LOOPS):
        found.append((kind, ("trainer", "tape")[i % 2], PRECISIONS[i // 2]))
    return [*found, ("application", "fit", "float32")]


def test_every_loop_meets_all_precisions():
    pairs = {(loop, policy) for _, loop, policy in cells()}
    assert pairs == set(itertools.product(LOOPS, PRECISIONS))


def is_quick(cell):
    kind, loop, _ = cell
    # The others take long to trace.
    quick = ["mlp", "subclassed", "own_layer", "residual", "nested", "shared"]
    return (kind, loop) in zip(quick, itertools.cycle(["fit", *LOOPS]))


@pytest.mark.parametrize(
    "kind, loop, policy", params.cover(cells(), quick=is_quick)
)
def test_every_kind_of_model_trains(kind, loop, policy, tmp_path):
    with precision(policy):
        dense = zoo.KINDS[kind]()
        x, y = zoo.arrays(dense)
        model = rigl_tf.sparsify(
            dense, 0.5, "uniform", masked_layers=SOME.get(kind)
        )
        counts = [np.sum(i.mask.numpy()) for i in rigl_tf.masked_kernels(model)]
        updater = updaters.RigL(update_interval=5, update_end_step=15)
        pair = LOOPS[loop](model, updater, policy, x, y)
    assert pair.step == N_STEPS and pair.last_update_step == 15
    for item, count in zip(rigl_tf.masked_kernels(model), counts):
        assert np.sum(item.mask.numpy()) == count
        off = np.asarray(item.kernel.numpy(), np.float64)[item.mask.numpy() < 1]
        assert not off.any()
    plain = rigl_tf.strip(model)
    expected = np.asarray(model(x, training=False), np.float32)
    assert np.isfinite(expected).all()
    plain.save(tmp_path / "plain.keras")
    with precision(policy):
        loaded = keras.models.load_model(tmp_path / "plain.keras")
    found = np.asarray(loaded(x, training=False), np.float32)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", params.cover(zoo.KINDS, quick=SMALL))
def test_masked_models_come_back_with_their_masks(kind, tmp_path):
    model = rigl_tf.sparsify(zoo.KINDS[kind](), 0.5)
    model.save(tmp_path / "masked.keras")
    loaded = keras.models.load_model(tmp_path / "masked.keras")
    items = rigl_tf.masked_kernels(model)
    again = rigl_tf.masked_kernels(loaded)
    assert [i.path for i in again] == [i.path for i in items]
    for a, b in zip(items, again):
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())
        np.testing.assert_array_equal(a.kernel.numpy(), b.kernel.numpy())
        assert a.sparsity == b.sparsity
    x, y = zoo.arrays(loaded)
    # Fine-tuning with fixed masks.
    loaded.compile("adam", LOSS, run_eagerly=True)
    loaded.fit(x, y, verbose=0)
    for item in again:
        assert not item.kernel.numpy()[item.mask.numpy() < 1].any()


@pytest.mark.parametrize(
    "kind", ["mlp", params.slow("attention"), params.slow("application")]
)
def test_stripped_models_are_served(kind, tmp_path):
    model = rigl_tf.sparsify(zoo.KINDS[kind](), 0.5)
    rigl_tf.strip(model).export(tmp_path / "served", verbose=False)
    x, _ = zoo.arrays(model)
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(
        served.serve(x), model(x, training=False), atol=1e-5
    )


@pytest.mark.parametrize("kind", params.cover(zoo.KINDS, quick=SMALL))
def test_at_sparsity_zero_predictions_keep_their_bits(kind):
    dense = zoo.KINDS[kind]()
    x, _ = zoo.arrays(dense)
    for first_mask in ("random", "magnitude"):
        model = rigl_tf.sparsify(dense, 0.0, first_mask=first_mask)
        np.testing.assert_array_equal(model(x), dense(x))


@pytest.mark.parametrize("kind", ["application", "subclassed"])
def test_magnitude_keeps_the_largest_weights(kind):
    dense = zoo.KINDS[kind]()
    model = rigl_tf.sparsify(dense, 0.5, "uniform", first_mask="magnitude")
    before = model_paths.variables_by_path(dense)
    for item in rigl_tf.masked_kernels(model):
        weights = np.abs(before[item.path].numpy())
        kept = item.mask.numpy() > 0
        assert kept.sum() == item.size - item.size // 2
        assert weights[kept].min() >= weights[~kept].max()
