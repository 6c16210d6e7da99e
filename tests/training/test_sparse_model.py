import keras
import numpy as np
import params
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.datasets import pipelines


def rigl():
    return updaters.RigL(
        update_interval=5, update_end_step=20, drop_fraction=0.5
    )


def data(n_batches=8):
    x, y = tiny.arrays(8 * n_batches)
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    return batches.with_options(pipelines.UNTUNED)


def fit(updater, epochs=4, strategy=None, dtype=None, **compile_options):
    keras.utils.set_random_seed(0)
    with (strategy or tf.distribute.get_strategy()).scope():
        sparse = rigl_tf.SparseModel(
            tiny.masked_mlp(updater, dtype=dtype), updater
        )
        sparse.compile(
            tiny.sgd(), tiny.LOSS, metrics=["accuracy"], **compile_options
        )
    history = sparse.fit(data(), epochs=epochs, verbose=0)
    return sparse, history.history


def assert_equal_weights(a, b, atol=0.0):
    for p, q in zip(a.get_weights(), b.get_weights()):
        np.testing.assert_allclose(p, q, rtol=0, atol=atol)


@pytest.mark.parametrize("steps_per_execution", [1, 3, params.slow(50)])
def test_fit_trains_as_the_trainer_does(steps_per_execution):
    sparse, _ = fit(rigl(), steps_per_execution=steps_per_execution)
    # 32 batches in all, of which the updates at 0, 5, ..., 20 take five.
    assert sparse.steps.step == 27
    keras.utils.set_random_seed(0)
    trainer = tiny.trainer(rigl())
    trainer.train(data().repeat(), 27)
    assert_equal_weights(sparse.model, trainer.model)


@pytest.mark.parametrize("build", [updaters.Static, updaters.SNIP])
def test_methods_without_regular_updates_fit(build):
    sparse, history = fit(build())
    assert sparse.steps.step == (32 if build is updaters.Static else 31)
    assert history["loss"][-1] < history["loss"][0]


def test_updates_after_a_step_take_no_batch():
    updater = updaters.SET(
        update_interval=5, update_end_step=20, drop_fraction=0.5
    )
    sparse, _ = fit(updater)
    assert sparse.steps.step == 32
    assert sparse.steps.last_update_step == 20


def test_steps_per_epoch_counts_steps():
    updater = rigl()
    sparse = rigl_tf.SparseModel(tiny.masked_mlp(updater), updater)
    sparse.compile(tiny.sgd(), tiny.LOSS)
    sparse.fit(data().repeat(), epochs=3, steps_per_epoch=4, verbose=0)
    assert sparse.steps.step == 12


@pytest.mark.slow
@pytest.mark.parametrize("option", ["run_eagerly", "jit_compile"])
def test_eager_and_xla_fit_alike(option):
    graph, _ = fit(rigl(), dtype="float64")
    other, _ = fit(rigl(), dtype="float64", **{option: True})
    assert_equal_weights(graph.model, other.model, atol=1e-6)


@pytest.mark.slow
def test_two_replicas_fit_like_one(mirrored):
    alone, one = fit(rigl(), dtype="float64")
    pair, two = fit(
        rigl(), strategy=mirrored, dtype="float64", steps_per_execution=3
    )
    assert_equal_weights(alone.model, pair.model, atol=1e-9)
    np.testing.assert_allclose(one["loss"], two["loss"], rtol=1e-5)
    np.testing.assert_allclose(one["accuracy"], two["accuracy"], rtol=1e-5)


def test_reported_metrics_are_those_of_plain_keras():
    sparse, history = fit(updaters.Static(), epochs=1)
    keras.utils.set_random_seed(0)
    plain = tiny.masked_mlp(updaters.Static())
    plain.compile(tiny.sgd(), tiny.LOSS, metrics=["accuracy"])
    expected = plain.fit(data(), verbose=0).history
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
    np.testing.assert_allclose(history["accuracy"], expected["accuracy"])
    np.testing.assert_allclose(
        sparse.evaluate(data(), verbose=0)[0],
        plain.evaluate(data(), verbose=0)[0],
        rtol=1e-5,
    )


def test_callbacks_and_validation_work():
    seen = []
    updater = rigl()
    sparse = rigl_tf.SparseModel(tiny.masked_mlp(updater), updater)
    sparse.compile(tiny.sgd(), tiny.LOSS)
    history = sparse.fit(
        *tiny.arrays(),
        epochs=5,
        validation_split=0.25,
        callbacks=[
            keras.callbacks.EarlyStopping(patience=1, monitor="val_loss"),
            keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: seen.append(logs["loss"])
            ),
        ],
        verbose=0,
    )
    assert len(history.history["val_loss"]) >= 1
    assert len(seen) == sparse.steps.step


def test_a_second_fit_goes_on():
    sparse, _ = fit(rigl(), epochs=2)
    sparse.fit(data(), epochs=2, verbose=0)
    together, _ = fit(rigl(), epochs=4)
    assert_equal_weights(sparse.model, together.model)


def test_optimizers_without_mappable_slots_are_refused_at_compile():
    updater = rigl()
    sparse = rigl_tf.SparseModel(tiny.masked_mlp(updater), updater)
    with pytest.raises(ValueError, match="Adafactor"):
        sparse.compile(keras.optimizers.Adafactor(), tiny.LOSS)


def test_weights_restored_without_the_optimizer_stay_zero(tmp_path):
    # No update after step 6 zeroes anything.
    sparse = tiny.sparse_model(tiny.rigl(update_end_step=6), tiny.sgd())
    sparse.model.save_weights(tmp_path / "a.weights.h5")
    sparse.fit(*tiny.arrays(), epochs=4, batch_size=16, verbose=0)
    sparse.model.load_weights(tmp_path / "a.weights.h5")
    sparse.fit(*tiny.arrays(), epochs=1, batch_size=32, verbose=0)
    assert tiny.leaks(sparse.model) == 0


def test_single_batches_can_be_trained_on():
    sparse = tiny.sparse_model(tiny.rigl(), tiny.sgd())
    x, y = tiny.arrays(16)
    losses = [float(sparse.train_on_batch(x, y)) for _ in range(12)]
    assert losses[-1] < losses[0]
    assert sparse.steps.step == 12 and sparse.steps.last_update_step == 9
    assert tiny.leaks(sparse.model) == 0


def test_a_sparse_model_says_what_to_save_instead(tmp_path):
    sparse = tiny.sparse_model(tiny.rigl(), tiny.sgd())
    with pytest.raises(ValueError, match=r"Save `rigl_tf.strip\(model\)`"):
        sparse.save(tmp_path / "m.keras")
