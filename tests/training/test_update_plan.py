"""Windows of mask updates that are fractions of the run."""

import dataclasses
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.accounting import training_costs
from rigl_tf.experiments import config
from rigl_tf.training import checkpoints
from rigl_tf.training import steps
from rigl_tf.updaters import schedules
from rigl_tf.updaters import updates_of_run


def compiled(updater, run_eagerly=True):
    """Compile a model; to trace its steps would take most of the time."""
    keras.utils.set_random_seed(0)
    model = rigl_tf.SparseModel(tiny.masked_mlp(updater), updater)
    model.compile(tiny.sgd(), tiny.LOSS, run_eagerly=run_eagerly)
    return model


def data(n_batches=8):
    arrays = tiny.arrays(8 * n_batches)
    return tf.data.Dataset.from_tensor_slices(arrays).batch(8)


def assert_equal_weights(a, b):
    for p, q in zip(a.get_weights(), b.get_weights()):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize(
    "method",
    [updaters.RigL, updaters.SET, updaters.SNFS, updaters.StaticReinit],
)
def test_updates_end_at_three_quarters_unless_told_otherwise(method):
    model = compiled(method(update_interval=3))
    model.fit(data().repeat(), epochs=2, steps_per_epoch=8, verbose=0)
    assert model.steps.updater.update_end_step == 12
    assert model.steps.last_update_step == 12


def test_pruning_ends_with_a_pruning():
    model = compiled(updaters.Pruning(update_interval=5))
    model.fit(data(), epochs=2, verbose=0)
    assert model.steps.updater.update_end_step == 10  # not 12
    assert model.steps.last_update_step == 10


def test_a_fraction_is_the_step_that_it_stands_for():
    fraction = compiled(updaters.RigL(update_interval=2), run_eagerly=False)
    fraction.fit(data(), epochs=2, verbose=0)
    updater = updaters.RigL(update_interval=2, update_end_step=12)
    step = compiled(updater, run_eagerly=False)
    step.fit(data(), epochs=2, verbose=0)
    assert_equal_weights(fraction.model, step.model)


@pytest.mark.parametrize("update_end_step", [0.5, 8])
def test_the_trainer_knows_its_steps(update_end_step):
    trainer = tiny.trainer(
        updaters.SET(update_interval=2, update_end_step=update_end_step)
    )
    trainer.train(tiny.batches(), 16)
    assert trainer.updater.update_end_step == 8
    assert trainer.last_update_step == 8


@pytest.mark.slow
def test_resumed_fits_keep_the_window(tmp_path):
    def updater():
        return updaters.RigL(update_interval=2)

    whole = compiled(updater())
    whole.fit(data(), epochs=4, verbose=0)
    first = compiled(updater())
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(
            first, "stop_training", epoch == 1
        )
    )
    first.fit(data(), epochs=4, callbacks=[stop], verbose=0)
    first.save_weights(tmp_path / "a.weights.h5")
    second = compiled(updater())
    second.load_weights(tmp_path / "a.weights.h5")
    assert second.steps.updater.update_end_step == 24
    second.optimizer.load_own_variables(
        {str(i): v for i, v in enumerate(first.optimizer.variables)}
    )
    second.fit(data(), initial_epoch=2, epochs=4, verbose=0)
    assert_equal_weights(second.model, whole.model)


def test_checkpoints_keep_the_window():
    def trainer():
        keras.utils.set_random_seed(0)
        return tiny.trainer(updaters.SET(update_interval=2))

    first = trainer()
    first.train(tiny.batches(), 12, should_stop=lambda: first.step >= 3)
    second = trainer()
    for name, variable in checkpoints.variables_of(first).items():
        checkpoints.variables_of(second)[name].assign(variable)
    with pytest.warns(UserWarning, match="planned for 12 steps"):
        second.train(tiny.batches(), 16)
    assert second.updater.update_end_step == 9
    assert second.last_update_step == 8


def test_a_window_that_was_planned_before_the_first_step_is_kept():
    first, second = (
        tiny.trainer(updaters.SET(update_interval=2)) for _ in range(2)
    )
    first.plan(12)
    for name, variable in second.state().items():
        variable.assign(first.state()[name])
    assert second.plan(None)
    assert second.updater.update_end_step == 9


def test_a_loop_of_ones_own_must_say_how_long_it_is():
    updater = updaters.RigL(update_interval=2)
    pair = steps.SparseSteps(tiny.masked_mlp(updater), updater, tiny.sgd())
    with pytest.raises(ValueError, match="needs the length of the run"):
        pair.update_due()
    with pytest.raises(ValueError, match="needs the length of the run"):
        model = compiled(updaters.RigL())
        model.train_on_batch(*tiny.arrays(8))
    assert pair.plan(8)
    assert not pair.plan(8)
    assert pair.update_due()
    assert pair.updater.update_end_step == 6


def test_data_of_unknown_length_is_refused():
    endless = tiny.batches()
    with pytest.raises(ValueError, match="give `steps_per_epoch`"):
        compiled(updaters.RigL()).fit(endless, verbose=0)
    model = compiled(updaters.RigL())
    model.fit(endless, steps_per_epoch=8, verbose=0)
    assert model.steps.updater.update_end_step == 6


@pytest.mark.parametrize(
    "options, n_steps, message",
    [
        ({"update_interval": 50}, 8, "SET: no mask update happens in a run"),
        ({"update_end_step": 90}, 8, "`update_end_step=90` lies after"),
        ({"update_end_step": None, "update_interval": 50}, 8, "no mask update"),
    ],
)
def test_windows_that_do_not_fit_are_told_once(options, n_steps, message):
    options = {
        "update_interval": 2,
        "drop_fraction": schedules.Constant(0.3),
        **options,
    }
    trainer = tiny.trainer(updaters.SET(**options))
    with pytest.warns(UserWarning, match=message):
        trainer.train(tiny.batches(), n_steps)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.train(tiny.batches(), n_steps + 1)


def test_methods_without_updates_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny.trainer(updaters.Static()).train(tiny.batches(), 3)


def test_an_update_after_the_last_step_is_one():
    trainer = tiny.trainer(updaters.SET(update_interval=4, update_end_step=4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.train(tiny.batches(), 4)
    assert trainer.last_update_step == 4


@pytest.mark.parametrize(
    "method, options, message",
    [
        (updaters.RigL, {"update_end_step": 1.5}, "a fraction of the run"),
        (updaters.RigL, {"update_end_step": -0.5}, "a fraction of the run"),
        (updaters.RigL, {"update_end_step": float("nan")}, "a fraction"),
        (updaters.SET, {"update_interval": 0}, "update_interval"),
        (updaters.SET, {"update_begin_step": 0.8}, "must lie after"),
        (updaters.SET, {"update_begin_step": -1}, "update_begin_step"),
        (updaters.OneShot, {"prune_step": 2.0}, "a fraction of the run"),
    ],
)
def test_impossible_windows_are_refused_at_once(method, options, message):
    with pytest.raises(ValueError, match=message):
        method(**options)


def test_words_say_fractions():
    words = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.9"]
    words += ["TRAIN_STEPS=400", "UPDATE_END_STEP=0.5"]
    job = config.parse(config.read(words))()
    assert job.mask_updater.update_end_step == 200
    words += ["TRAINING_MULTIPLIER=0.5"]
    job = config.parse(config.read(words))()
    assert job.mask_updater.update_end_step == 100


def test_costs_are_those_of_the_window():
    fraction = updaters.RigL(update_interval=10, update_end_step=0.5)
    step = updaters.RigL(update_interval=10, update_end_step=50)
    for cost in (training_costs.run_flops, training_costs.step_flops):
        assert cost(fraction, 0.1, 1.0, 100) == cost(step, 0.1, 1.0, 100)
    assert list(updates_of_run.steps(fraction, 100)) == [
        0,
        10,
        20,
        30,
        40,
        50,
    ]


def test_one_shot_pruning_at_a_fraction():
    model = compiled(updaters.OneShot(prune_step=0.5))
    model.fit(data(), epochs=2, verbose=0)
    assert model.steps.last_update_step == 8


@pytest.mark.parametrize("method", [updaters.RigL, updaters.SET])
@pytest.mark.filterwarnings("ignore:SET")
def test_the_shortest_runs_have_a_window(method):
    model = compiled(method())
    model.fit(data(1), epochs=0, verbose=0)
    model.fit(data(1), verbose=0)
    assert model.steps.step == 1


def test_runs_shorter_than_an_interval_cannot_prune():
    for method in (updaters.Pruning, updaters.GraNet):
        with pytest.raises(ValueError, match="a window of one interval"):
            compiled(method()).fit(data(), verbose=0)


def test_what_failed_before_the_first_step_fixes_no_window():
    model = compiled(updaters.Pruning(update_interval=10))
    with pytest.raises(ValueError, match="a window of one interval"):
        model.fit(data(), verbose=0)
    model.fit(data(), epochs=4, verbose=0)
    assert model.steps.updater.update_end_step == 20
    model = compiled(updaters.RigL(update_interval=2))
    assert model.steps.plan(4)
    model.fit(data(), epochs=2, verbose=0)
    assert model.steps.updater.update_end_step == 12


def test_listed_steps_need_no_end():
    updater = updaters.RigL(
        update_steps=[3, 14], drop_fraction=schedules.Constant(0.3)
    )
    model = compiled(updater)
    model.fit(data(), epochs=2, verbose=0)
    assert model.steps.last_update_step == 14


def test_single_batches_can_be_planned_after_the_error():
    model = compiled(updaters.RigL(update_interval=2))
    x, y = tiny.arrays(8)
    with pytest.raises(ValueError, match="needs the length of the run"):
        model.train_on_batch(x, y)
    model.steps.plan(8)
    for _ in range(8):
        model.train_on_batch(x, y)
    assert model.steps.step == 8
    assert model.steps.last_update_step == 6


def test_numbers_of_numpy_are_steps_and_fractions():
    trainer = tiny.trainer(updaters.SET(update_end_step=np.float32(0.5)))
    trainer.plan(20)
    assert trainer.updater.update_end_step == 10
    trainer = tiny.trainer(updaters.SET(update_end_step=np.int64(500)))
    with pytest.warns(UserWarning, match="no mask update happens"):
        trainer.train(tiny.batches(), 4)


def test_other_fields_are_no_steps():
    @dataclasses.dataclass(kw_only=True)
    class Noisy(updaters.SET):
        noise_per_step: float = 0.1

    assert Noisy().resolved(24).noise_per_step == 0.1


def test_warnings_say_what_is_lost():
    trainer = tiny.trainer(updaters.OneShot(prune_step=50))
    with pytest.warns(UserWarning, match="stays dense; set an earlier"):
        trainer.train(tiny.batches(), 4)
    trainer = tiny.trainer(
        updaters.Pruning(update_end_step=50, update_interval=2)
    )
    with pytest.warns(UserWarning, match="may not be reached"):
        trainer.train(tiny.batches(), 4)
