"""Mistakes that were made once."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import cli
from rigl_tf import updaters
from rigl_tf.training import checkpoints
from rigl_tf.training import steps
from rigl_tf.training.callbacks import base
from rigl_tf.updaters import schedules

SHORT = ["TRAIN_STEPS=6", "UPDATE_END_STEP=4", "UPDATE_INTERVAL=2"]
RIGL = ["tasks/digits_mlp", "methods/rigl", "SPARSITY=0.9", *SHORT]


def rigl(**kwargs):
    options = {
        "update_interval": 3,
        "update_end_step": None,
        "drop_fraction": schedules.Constant(0.5),
    }
    return updaters.RigL(**{**options, **kwargs})


def leaks(model):
    items = rigl_tf.masked_kernels(model)
    return sum(np.count_nonzero(tiny.off_mask(i, i.kernel)) for i in items)


def fit_model(updater, optimizer, model=None):
    sparse = rigl_tf.SparseModel(model or tiny.masked_mlp(updater), updater)
    sparse.compile(optimizer, tiny.LOSS)
    return sparse


def test_models_with_bare_operations_are_masked_saved_and_stripped(tmp_path):
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(6)(inputs)
    outputs = keras.layers.Dense(2)(keras.ops.relu(inputs + hidden * 2))
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).normal(size=(3, 6))
    np.testing.assert_array_equal(rigl_tf.sparsify(model, 0.0)(x), model(x))
    masked = rigl_tf.sparsify(model, 0.5)
    np.testing.assert_array_equal(rigl_tf.strip(masked)(x), masked(x))
    masked.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(x), masked(x))


@pytest.mark.parametrize("name", ["Muon", "Lamb"])
def test_steps_that_mix_positions_keep_zeros(name):
    optimizer = getattr(keras.optimizers, name)(0.01)
    if name == "Muon" and keras.__version__ < "3.13":
        with pytest.raises(ValueError, match="Muon, whose variable"):
            fit_model(rigl(), optimizer)  # keeps its slots in dictionaries
        return
    sparse = fit_model(rigl(), optimizer)
    sparse.fit(*tiny.arrays(), epochs=3, batch_size=16, verbose=0)
    assert leaks(sparse.model) == 0
    trainer = tiny.trainer(
        rigl(), lambda: getattr(keras.optimizers, name)(0.01)
    )
    trainer.train(tiny.batches(), 10)
    assert leaks(trainer.model) == 0


def test_weights_restored_without_the_optimizer_stay_zero(tmp_path):
    sparse = fit_model(rigl(), tiny.sgd())
    sparse.model.save_weights(tmp_path / "a.weights.h5")
    sparse.fit(*tiny.arrays(), epochs=4, batch_size=16, verbose=0)
    sparse.model.load_weights(tmp_path / "a.weights.h5")
    sparse.fit(*tiny.arrays(), epochs=1, batch_size=32, verbose=0)
    assert leaks(sparse.model) == 0


def test_repair_changes_no_bit_of_a_clean_run():
    trainer = tiny.trainer(rigl(), keras.optimizers.Adagrad)
    trainer.train(tiny.batches(), 8)
    before = checkpoints.arrays_of(trainer, [])
    trainer.repair()
    for name, array in checkpoints.arrays_of(trainer, []).items():
        assert array.tobytes() == before[name].tobytes()


def test_the_scale_of_the_loss_is_not_in_the_dense_gradients():
    grown = []
    for scaled in (False, True):
        keras.utils.set_random_seed(0)
        optimizer = keras.optimizers.SGD(0.0)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, initial_scale=2.0**10
            )
        updater = rigl(grow_init="grad_scale", initial_accumulator_scale=0.5)
        sparse = fit_model(updater, optimizer)
        sparse.fit(*tiny.arrays(), batch_size=64, epochs=2, verbose=0)
        grown.append([i.kernel.numpy() for i in _kernels(sparse)])
    for a, b in zip(*grown):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def _kernels(sparse):
    return rigl_tf.masked_kernels(sparse.model)


class _Seen(base.Callback):
    def on_interval(self, trainer, step, means):
        self.seen = [*getattr(self, "seen", []), step]


def test_steps_that_are_updates_call_callbacks_too():
    seen = _Seen(10)
    trainer = tiny.trainer(
        rigl(update_interval=10, update_begin_step=9, counts_update_steps=True)
    )
    trainer.train(tiny.batches(), 30, [seen])
    assert seen.seen == [10, 20, 30]
    assert trainer.step == 30


def test_bad_newer_files_do_not_displace_a_new_one(tmp_path):
    store = checkpoints.Checkpoints(tmp_path, keep_last=1, keep_every=20)
    for step in (20, 40):
        store.save(step, {"a": np.ones(2)})
    (tmp_path / "00000040.npz").write_bytes(b"damaged")
    assert store.load_newest({"a": ((2,), "float64")})[0] == 20
    store.save(30, {"a": np.zeros(2)})
    assert store.steps() == [20, 30]


def test_kernels_without_any_connection_are_reported(tmp_path):
    words = ["tasks/digits_mlp", "methods/snip", "SPARSITY=0.9999", *SHORT]
    words += ["updaters.SNIP.scope=global", f"--workdir={tmp_path / 'w'}"]
    assert cli.main(["train", *words]) == 0


def test_frozen_masked_layers_keep_their_masks(tmp_path):
    model = tiny.masked_mlp(updaters.Static())
    model.layers[0].trainable = False
    assert len(rigl_tf.masked_kernels(model)) == 2
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert len(rigl_tf.masked_kernels(loaded)) == 2
    x = np.ones((2, 6))
    np.testing.assert_array_equal(rigl_tf.strip(loaded)(x), model(x))


def test_kernels_without_gradient_are_no_obstacle():
    model = tiny.masked_mlp(rigl())
    pair = steps.SparseSteps(model, rigl(), tiny.sgd())
    gradients = [tf.ones(v.shape) for v in model.trainable_variables]
    gradients[0] = None
    pair.update_masks(gradients)
    assert int(pair.skipped_updates.numpy()) == 0
    assert leaks(model) == 0


def test_single_batches_can_be_trained_on():
    sparse = fit_model(rigl(), tiny.sgd())
    x, y = tiny.arrays(16)
    losses = [float(sparse.train_on_batch(x, y)) for _ in range(12)]
    assert losses[-1] < losses[0]
    assert sparse.steps.step == 12 and sparse.steps.last_update_step == 9
    assert leaks(sparse.model) == 0


def test_a_sparse_model_says_what_to_save_instead(tmp_path):
    sparse = fit_model(rigl(), tiny.sgd())
    with pytest.raises(ValueError, match=r"Save `rigl_tf.strip\(model\)`"):
        sparse.save(tmp_path / "m.keras")


def test_masked_models_are_not_masked_again():
    with pytest.raises(ValueError, match="must not be masked already"):
        rigl_tf.sparsify(rigl_tf.sparsify(tiny.mlp(), 0.5), 0.8)


def test_averaged_weights_are_put_in_place():
    trainer = tiny.trainer(
        rigl(),
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
    )
    trainer.train(tiny.batches(), 10)
    last = [item.kernel.numpy() for item in trainer.kernels]
    trainer.finish()
    for before, item in zip(last, trainer.kernels):
        assert not np.array_equal(before, item.kernel.numpy())
    assert leaks(trainer.model) == 0


def test_time_step_masks_pass_through_without_a_warning(recwarn):
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(7, 3, mask_zero=True),
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.LSTM(2),
        ]
    )
    x = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]])
    np.testing.assert_array_equal(rigl_tf.sparsify(model, 0.0)(x), model(x))
    assert not [w for w in recwarn if "support masking" in str(w.message)]


def test_directories_may_hold_an_equals_sign(tmp_path, capsys):
    workdir = f"--workdir={tmp_path / 'lr=0.1'}"
    assert cli.main(["train", *RIGL, workdir]) == 0
    assert cli.main(["evaluate", workdir]) == 0
    assert '"step": 6' in capsys.readouterr().out


def test_foreign_results_are_named(tmp_path, capsys):
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "lacks task" in capsys.readouterr().err


def test_broken_modules_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_module.py").write_text("def f(:\n", encoding="utf-8")
    assert cli.main(["train", *RIGL, "--import=broken_module"]) == 2
    error = capsys.readouterr().err
    assert "SyntaxError" in error and error.count("\n") == 1


def test_a_summary_passes_over_half_a_line(tmp_path, capsys):
    (tmp_path / "config.gin").write_text("", encoding="utf-8")
    record = {"step": 5, "loss": 0.5, "layers": []}
    text = json.dumps(record) + '\n{"step": 6'
    (tmp_path / "metrics.jsonl").write_text(text, encoding="utf-8")
    assert cli.main(["summary", f"--workdir={tmp_path}"]) == 0
    assert "step 5, loss 0.5" in capsys.readouterr().out
