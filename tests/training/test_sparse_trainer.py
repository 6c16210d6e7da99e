import io
import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.training.callbacks import base
from rigl_tf.training.callbacks import log_metrics
from rigl_tf.updaters import schedules


def set_updater(**kwargs):
    return updaters.SET(
        update_interval=4,
        update_end_step=None,
        drop_fraction=schedules.Constant(0.5),
        **kwargs,
    )


def test_dense_training_equals_plain_keras():
    model = tiny.mlp()
    model.compile(tiny.sgd(), tiny.LOSS)
    trainer_model = keras.models.clone_model(model)
    trainer_model.set_weights(model.get_weights())
    model.fit(tiny.batches(), steps_per_epoch=20, verbose=0)
    trainer = rigl_tf.SparseTrainer(trainer_model, None, tiny.sgd(), tiny.LOSS)
    trainer.train(tiny.batches(), 20)
    for a, b in zip(model.get_weights(), trainer_model.get_weights()):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


def test_evaluation_is_exact_over_partial_batches():
    trainer = tiny.trainer(
        updaters.Static(),
        metrics={"accuracy": keras.metrics.sparse_categorical_accuracy},
    )
    x, y = tiny.arrays(37)
    found = trainer.evaluate(
        tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    )
    logits = np.asarray(trainer.model(x), "float64")
    logits -= logits.max(1, keepdims=True)
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(37), y]
    assert found["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx(np.mean(logits.argmax(1) == y))


def test_weights_of_examples_count(mirrored):
    x, y = tiny.arrays(16)
    weights = np.array([1.0] * 8 + [0.0] * 8)
    some = tiny.trainer(updaters.Static(), strategy=mirrored)
    weighted = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(16)
    plain = tf.data.Dataset.from_tensor_slices((x[:8], y[:8])).batch(8)
    a, b = some.evaluate(weighted), some.evaluate(plain)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-6)


def test_training_goes_on_where_it_stopped():
    at_once = tiny.trainer(set_updater())
    at_once.train(tiny.batches(), 11)
    keras.utils.set_random_seed(0)
    twice = tiny.trainer(set_updater())
    data = iter(tiny.batches())
    twice.train(data, 4)  # right after an update
    twice.train(data, 11)
    for a, b in zip(at_once.kernels, twice.kernels):
        np.testing.assert_array_equal(a.kernel.numpy(), b.kernel.numpy())


@pytest.mark.slow
def test_seeds_decide_what_set_grows():
    runs = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(0)
        trainer = tiny.trainer(set_updater(seed=seed))
        trainer.train(tiny.batches(), 9)
        runs.append([item.mask.numpy() for item in trainer.kernels])
    for a, b, c in zip(*runs):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


class _Seen(base.Callback):
    def __init__(self, interval):
        super().__init__(interval)
        self.seen = []

    def on_interval(self, trainer, step, means):
        self.seen.append((step, trainer.step, means["loss"]))


def test_callbacks_fire_at_their_interval_and_at_the_end():
    trainer = tiny.trainer(set_updater())
    three, five = _Seen(3), _Seen(5)
    trainer.train(tiny.batches(), 11, [three, five])
    assert [step for step, _, _ in three.seen] == [3, 6, 9, 11]
    assert [step for step, _, _ in five.seen] == [5, 10, 11]
    assert all(step == at for step, at, _ in three.seen + five.seen)


def test_callbacks_see_means_over_their_interval():
    losses = _Seen(1)
    tiny.trainer(set_updater()).train(tiny.batches(), 6, [losses])
    keras.utils.set_random_seed(0)
    mean = _Seen(6)
    tiny.trainer(set_updater()).train(tiny.batches(), 6, [mean])
    each = [loss for _, _, loss in losses.seen]
    assert mean.seen[0][2] == pytest.approx(np.mean(each), rel=1e-5)


def test_the_speed_is_that_since_the_last_line(tmp_path, monkeypatch):
    now = [0.0]
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(log_metrics, "time", clock)
    path = tmp_path / "metrics.jsonl"
    log = log_metrics.LogMetrics(path, 4, 12, 16, stream=io.StringIO())
    trainer = tiny.trainer(updaters.Static())
    for step, now[0] in ((4, 1.0), (8, 3.0), (12, 3.5)):
        log.on_interval(trainer, step, {})
    lines = path.read_text(encoding="utf-8").splitlines()
    rates = [json.loads(line).get("examples_per_second") for line in lines]
    assert rates == [None, 32.0, 128.0]  # 4 steps of 16 examples


def test_intervals_are_positive():
    with pytest.raises(ValueError, match="`interval`.*0"):
        base.Callback(0)


def test_losses_of_sequences_are_averaged_over_time():
    model = keras.Sequential([keras.Input((5, 6)), keras.layers.Dense(4)])
    trainer = rigl_tf.SparseTrainer(
        rigl_tf.sparsify(model, 0.5), updaters.Static(), tiny.sgd(), tiny.LOSS
    )
    x = np.random.default_rng(0).normal(size=(3, 5, 6))
    y = np.zeros((3, 5), "int32")
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(3)
    expected = float(tiny.LOSS(y, trainer.model(x)))
    assert trainer.evaluate(data)["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_models_own_regularisers_are_trained():
    def build(l2):
        keras.utils.set_random_seed(0)
        layer = keras.layers.Dense(
            4, kernel_regularizer=keras.regularizers.L2(l2)
        )
        model = keras.Sequential([keras.Input((6,)), layer])
        trainer = rigl_tf.SparseTrainer(
            rigl_tf.sparsify(model, 0.5),
            updaters.Static(),
            tiny.sgd(),
            tiny.LOSS,
        )
        trainer.train(tiny.batches(), 20)
        return np.abs(trainer.kernels[0].kernel.numpy()).sum()

    assert build(0.5) < 0.5 * build(0.0)


def test_steps_that_are_updates_call_callbacks_too():
    seen = _Seen(10)
    trainer = tiny.trainer(
        tiny.rigl(
            update_interval=10, update_begin_step=9, counts_update_steps=True
        )
    )
    trainer.train(tiny.batches(), 30, [seen])
    assert [step for step, _, _ in seen.seen] == [10, 20, 30]
    assert trainer.step == 30
