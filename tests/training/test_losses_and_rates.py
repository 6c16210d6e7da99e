"""Learning rates, losses and metrics, beside numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from rigl_tf import updaters
from rigl_tf.experiments import config
from rigl_tf.training import learning_rates
from rigl_tf.training import losses
from rigl_tf.training import metrics
from rigl_tf.training.hardware import batch_norms
from rigl_tf.training.hardware import strategies
from rigl_tf.updaters import schedules


def experiment(*words):
    return config.parse(config.read([*words, "methods/rigl", "SPARSITY=0.9"]))()


def rate_of(task, *words):
    """Return the learning rate of a task as a function of the step."""
    job = experiment(task, *words)
    optimizer = job.optimizer()
    learning_rates.stretch(optimizer, job.training_multiplier)
    return lambda step: float(optimizer._learning_rate(step))


def paper_rate(epoch, warm_up, factors, begins):
    """Follow the original code: the last phase that has begun, or warm-up."""
    if epoch < warm_up:
        return 1.6 * epoch / warm_up
    started = [f for f, b in zip(factors, begins) if b <= epoch]
    return 1.6 * started[-1]


@pytest.mark.parametrize("multiplier", [1, 5])
@pytest.mark.parametrize(
    "task, warm_up, factors, begins",
    [
        ("imagenet_resnet50", 5, [1, 0.1, 0.01, 0.001], [0, 30, 70, 90]),
        (
            "imagenet_mobilenet_v1",
            8,
            [1, 0.1, 0.01, 0.001, 0.0003],
            [0, 40, 75, 95, 120],
        ),
    ],
)
def test_imagenet_rates_are_the_papers(
    task, warm_up, factors, begins, multiplier
):
    rate = rate_of(f"tasks/{task}", f"TRAINING_MULTIPLIER={multiplier}")
    for epoch in (0, 1, 4.9, 5.1, 7.9, 29, 31, 39, 41, 71, 89, 91, 96, 101):
        step = round(epoch * 1281167 / 4096 * multiplier)
        passed = step * 4096 / 1281167 / multiplier
        expected = paper_rate(passed, warm_up, factors, begins)
        assert rate(step) == pytest.approx(expected, rel=1e-5)


def test_rates_follow_the_batch_size():
    rate = rate_of("tasks/imagenet_resnet50", "BATCH_SIZE=256")
    assert rate(10 * 5004.6) == pytest.approx(0.1)
    assert rate(30 * 5004.6 + 5) == pytest.approx(0.01)


def test_the_cifar_rate_is_the_papers():
    rate = rate_of("tasks/cifar10_wrn22_2")
    steps = (0, 29999, 30001, 60001, 90001, 97655)
    expected = (0.1, 0.1, 0.02, 0.004, 0.0008, 0.0008)
    assert [rate(step) for step in steps] == pytest.approx(expected)


def test_a_longer_run_stretches_all_but_the_interval():
    job = experiment("tasks/cifar10_wrn22_2", "TRAINING_MULTIPLIER=2")
    assert job.total_steps == 2 * 97656
    assert job.mask_updater.update_end_step == 150_000
    assert job.mask_updater.update_interval == 100
    assert rate_of("tasks/cifar10_wrn22_2", "TRAINING_MULTIPLIER=2")(
        119_998
    ) == pytest.approx(0.02)
    half = experiment("tasks/cifar10_wrn22_2", "TRAINING_MULTIPLIER=0.5")
    assert half.total_steps == 48828
    with pytest.raises(ValueError, match="training_multiplier.*above 0"):
        experiment("tasks/cifar10_wrn22_2", "TRAINING_MULTIPLIER=0")


@pytest.mark.parametrize(
    "drop_fraction", [0.3, schedules.Cosine(0.3, 0, 100)], ids=["number", "f"]
)
def test_drop_fractions_are_stretched(drop_fraction):
    updater = updaters.RigL(
        update_interval=10, update_end_step=100, drop_fraction=drop_fraction
    )
    assert updater.stretched(1) is updater
    longer = updater.stretched(3)
    assert longer.update_end_step == 300
    for step in (0, 60, 150, 291):
        expected = 0.15 * (1 + np.cos(np.pi * step / 300))
        found = longer._drop_fraction(tf.constant(step, tf.int64))
        assert float(found) == pytest.approx(expected, abs=1e-6)
    assert updaters.OneShot(prune_step=7).stretched(2).prune_step == 14
    window = updaters.Pruning(
        update_begin_step=10, update_end_step=50, update_interval=10
    ).stretched(4)
    assert (window.update_begin_step, window.update_end_step) == (40, 200)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0.1, [1], [1]), "start with 0"),
        ((0.1, [1, 2], [0]), "one for each"),
        ((0.1, [1, 2], [0, 0]), "increase"),
        ((0.1, [], []), "start with 0"),
        ((0, [1], [0]), "peak"),
        ((0.1, [-1], [0]), "factors"),
    ],
)
def test_bad_rates_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        learning_rates.Stepwise(*arguments)


def test_rates_are_saved_with_their_optimizer():
    schedule = learning_rates.Stretched(
        learning_rates.Stepwise(0.1, [1, 0.5], [0, 10]), 2
    )
    optimizer = keras.optimizers.SGD(schedule)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    for step in (0, 19, 20):
        found = float(again._learning_rate(step))
        assert found == pytest.approx(0.1 if step < 20 else 0.05)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_smoothed_losses_are_those_of_smoothed_labels(smoothing):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 5))
    labels = rng.integers(0, 5, 6)
    target = np.eye(5)[labels] * (1 - smoothing) + smoothing / 5
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -(target * logs).sum(-1)
    loss = losses.SmoothedCrossentropy(smoothing)
    np.testing.assert_allclose(loss.call(labels, logits), expected, 1e-6)
    np.testing.assert_allclose(
        loss.call(labels[:, None], logits), expected, 1e-6
    )
    config = keras.losses.serialize(loss)
    again = keras.losses.deserialize(config)
    np.testing.assert_allclose(again.call(labels, logits), expected, 1e-6)


def test_only_training_is_smoothed():
    trainer = tiny.rigl_tf.SparseTrainer(
        tiny.mlp(),
        None,
        tiny.sgd(),
        losses.SmoothedCrossentropy(0.5),
        test_loss=losses.SmoothedCrossentropy(),
        test_metrics={"top_2_accuracy": metrics.top_k_accuracy(2)},
    )
    data = tf.data.Dataset.from_tensor_slices(tiny.arrays()).batch(16)
    x, y = tiny.arrays()
    found = trainer.evaluate(data)
    logits = trainer.model(x).numpy()
    plain = losses.SmoothedCrossentropy().call(y, logits)
    assert found["loss"] == pytest.approx(np.mean(plain), rel=1e-5)
    ranks = np.argsort(np.argsort(-logits, axis=1), axis=1)
    expected = np.mean(ranks[np.arange(len(y)), y] < 2)
    assert found["top_2_accuracy"] == pytest.approx(expected)
    smoothed = losses.SmoothedCrossentropy(0.5).call(y, logits)
    sums, _ = trainer._gradients((x, y))
    mean = float(sums[1] / sums[0])
    assert mean == pytest.approx(np.mean(smoothed), rel=1e-5)


def test_precision_and_recall_are_those_of_counting():
    trainer = tiny.rigl_tf.SparseTrainer(
        tiny.mlp(), None, tiny.sgd(), losses.SmoothedCrossentropy()
    )
    x, y = tiny.arrays(50)
    weights = (np.arange(50) < 45).astype("float32")  # the rest is filling
    data = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(10)
    matrix = trainer.confusion(data, 4)
    predicted = np.argmax(trainer.model(x[:45]), axis=1)
    for row in metrics.per_class(matrix):
        mine, said = y[:45] == row["class"], predicted == row["class"]
        right = (mine & said).sum()
        assert row["n"] == mine.sum()
        assert row["recall"] == pytest.approx(right / mine.sum())
        if said.any():
            assert row["precision"] == pytest.approx(right / said.sum())
        else:
            assert row["precision"] is None


@pytest.mark.parametrize("n_devices", [1, 2])
def test_predictions_are_those_of_the_model_in_order(n_devices):
    strategy = strategies.cpu(devices=n_devices)
    with strategy.scope():
        model, optimizer = tiny.mlp(), tiny.sgd()
    trainer = tiny.rigl_tf.SparseTrainer(
        model, None, optimizer, losses.SmoothedCrossentropy(), strategy
    )
    x, y = tiny.arrays(50)
    weights = (np.arange(50) < 45).astype("float32")  # the rest is filling
    data = tf.data.Dataset.from_tensor_slices((x, y, weights)).batch(10)
    labels, predicted = trainer.predictions(data)
    expected = np.argmax(trainer.model(x[:45]), axis=1)
    np.testing.assert_array_equal(predicted, expected)
    np.testing.assert_array_equal(labels, y[:45])
    found = trainer.evaluate(data)
    assert trainer.n_evaluated == 45
    assert "n_evaluated" not in found


def test_batch_statistics_leave_dropout_alone():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
        ]
    )
    x = np.random.default_rng(0).normal(3, 2, (64, 6)).astype("float32")
    batch_norms.use_batch_statistics(model)
    found = model(x, training=False).numpy()
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match="has none"):
        batch_norms.use_batch_statistics(tiny.mlp())
