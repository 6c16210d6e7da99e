"""One battery for all methods."""

import contracts
import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from rigl_tf import config
from rigl_tf import masking
from rigl_tf import masks

ALL = pytest.mark.parametrize(
    "method", contracts.METHODS, ids=lambda method: method.name
)
N_STEPS = 22


def final_masks(trainer):
    return [item.mask.numpy() for item in trainer.kernels]


@ALL
def test_counts_are_kept_and_inactive_weights_are_zero(method):
    trainer = tiny.trainer(method.build())
    trainer.train(tiny.batches(), N_STEPS)
    assert trainer.step == N_STEPS
    for item in trainer.kernels:
        active = masks.n_ones(item.size, 0.5)
        assert np.count_nonzero(item.mask.numpy()) == active
        assert not tiny.off_mask(item, item.kernel).any()
        assert np.count_nonzero(item.kernel.numpy()) > 0.8 * active


@ALL
def test_updates_happen_at_their_steps(method):
    trainer = tiny.trainer(method.build())
    update, seen = trainer._mask_update, []

    def note_and_update(iterator):
        seen.append(trainer.step)
        return update(iterator)

    trainer._mask_update = note_and_update
    trainer.train(tiny.batches(), N_STEPS)
    assert tuple(seen) == method.updates


@ALL
def test_training_lowers_the_loss(method):
    trainer = tiny.trainer(method.build())
    data = tf.data.Dataset.from_tensor_slices(tiny.arrays()).batch(16)
    before = trainer.evaluate(data)["loss"]
    trainer.train(tiny.batches(), 60)
    assert trainer.evaluate(data)["loss"] < 0.8 * before


@ALL
def test_replicas_agree_bit_for_bit(method, mirrored):
    trainer = tiny.trainer(method.build(), strategy=mirrored)
    first = final_masks(trainer) if method.updates else None
    trainer.train(tiny.batches(), 50)
    for item in trainer.kernels:
        copies = [np.asarray(v) for v in item.mask.value.values]
        assert len(copies) == 2
        np.testing.assert_array_equal(copies[0], copies[1])
        kernels = [np.asarray(v) for v in item.kernel.value.values]
        np.testing.assert_array_equal(kernels[0], kernels[1])
    if first is not None:
        moved = zip(first, final_masks(trainer))
        assert any(not np.array_equal(a, b) for a, b in moved)


@ALL
def test_two_replicas_train_like_one(method, mirrored):
    alone = tiny.trainer(method.build(), dtype="float64")
    alone.train(tiny.batches(dtype="float64"), N_STEPS)
    keras.utils.set_random_seed(0)
    pair = tiny.trainer(method.build(), strategy=mirrored, dtype="float64")
    pair.train(tiny.batches(dtype="float64"), N_STEPS)
    for a, b in zip(alone.kernels, pair.kernels):
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())
        np.testing.assert_allclose(
            a.kernel.numpy(), b.kernel.numpy(), rtol=0, atol=1e-10
        )


@ALL
@pytest.mark.parametrize("mode", ["eager", "xla"])
def test_eager_and_xla_decide_as_the_graph_does(method, mode):
    graph = tiny.trainer(method.build(), dtype="float64")
    graph.train(tiny.batches(dtype="float64"), N_STEPS)
    keras.utils.set_random_seed(0)
    other = tiny.trainer(
        method.build(), dtype="float64", jit_compile=mode == "xla"
    )
    tf.config.run_functions_eagerly(mode == "eager")
    try:
        other.train(tiny.batches(dtype="float64"), N_STEPS)
    finally:
        tf.config.run_functions_eagerly(False)
    for a, b in zip(graph.kernels, other.kernels):
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())
        np.testing.assert_allclose(
            a.kernel.numpy(), b.kernel.numpy(), rtol=0, atol=1e-12
        )


@ALL
def test_mixed_bfloat16_keeps_counts_and_zeros(method):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        trainer = tiny.trainer(method.build())
    finally:
        keras.config.set_dtype_policy("float32")
    trainer.train(tiny.batches(), N_STEPS)
    for item in trainer.kernels:
        active = masks.n_ones(item.size, 0.5)
        assert np.count_nonzero(item.mask.numpy()) == active
        assert not tiny.off_mask(item, item.kernel).any()


@ALL
def test_gin_file_builds_the_method(method):
    words = ["tasks/digits_mlp", f"methods/{method.name}", "SPARSITY=0.9"]
    bound = config.parse(config.read(words))
    assert callable(bound)
    text = config.resolved()
    name = type(method.build()).__name__
    assert f"{name}()" in text
    assert f"method = '{method.name}'" in text


@ALL
def test_card_has_all_headings(method):
    card = type(method.build()).__doc__
    for heading in (
        "Drop:",
        "Grow:",
        "First mask:",
        "Cost:",
        "Hyper-parameters:",
        "Deviations:",
        "Reference:",
    ):
        assert heading in card


@ALL
def test_another_seed_is_another_run(method):
    models = [
        masking.sparsify(tiny.mlp(), 0.5, "uniform", seed=seed)
        for seed in (0, 0, 1)
    ]
    same, again, other = (
        [item.mask.numpy() for item in masking.masked_kernels(model)]
        for model in models
    )
    for a, b, c in zip(same, again, other):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
