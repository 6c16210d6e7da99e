"""Compiled `SparseModel`s: arguments, copies, frozen layers, epochs."""

import copy
import pickle

import keras
import numpy as np
import params
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.training import steps
from rigl_tf.updaters import schedules


def masked():
    return rigl_tf.sparsify(tiny.mlp(), 0.5)


def compiled(model, updater=None, optimizer="sgd"):
    updater = updater or updaters.RigL(update_interval=2)
    sparse = rigl_tf.SparseModel(model, updater)
    sparse.compile(optimizer, tiny.LOSS)
    return sparse


def fit(sparse, **options):
    return sparse.fit(*tiny.arrays(32), batch_size=8, verbose=0, **options)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (lambda: (masked(), updaters.RigL), TypeError, r"write `RigL\(\)`"),
        (lambda: (masked(), 3), TypeError, "a `MaskUpdater`, a name"),
        (lambda: (masked(), "riggle"), ValueError, "RigLInverted, SET, SNFS"),
        (lambda: (updaters.SET(), masked()), TypeError, "the updater first"),
        (lambda: ("rigl", masked()), TypeError, "the updater first"),
        (lambda: (3, updaters.SET()), TypeError, "Received: 3"),
        (lambda: (masked(), None), ValueError, "trains densely"),
        (lambda: (tiny.mlp(), "rigl"), ValueError, "call `rigl_tf.sparsify`"),
    ],
)
def test_wrong_arguments_are_told_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        rigl_tf.SparseModel(*arguments())


@pytest.mark.parametrize(
    "function", [rigl_tf.strip, rigl_tf.summary, rigl_tf.masked_kernels]
)
def test_what_is_no_model_is_told(function):
    with pytest.raises(TypeError, match="must be a Keras 3 model"):
        function(None)


def test_names_train():
    by_name = rigl_tf.SparseModel(masked(), "rigl")
    by_name.compile("sgd", tiny.LOSS)
    fit(by_name, epochs=2)
    assert by_name.steps.last_update_step == 0  # at 0, 100, ...


def test_dense_training_is_that_of_keras():
    keras.utils.set_random_seed(0)
    plain = tiny.mlp()
    dense = rigl_tf.SparseModel(keras.models.clone_model(plain), None)
    dense.model.set_weights(plain.get_weights())
    dense.compile("sgd", tiny.LOSS)
    plain.compile("sgd", tiny.LOSS)
    for model in (plain, dense):
        fit(model, shuffle=False)
    for a, b in zip(plain.get_weights(), dense.model.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_fit_before_compile_is_told_by_keras():
    sparse = rigl_tf.SparseModel(masked(), "rigl")
    with pytest.raises(ValueError, match=r"must call `compile\(\)`"):
        fit(sparse)


def test_the_model_inside_is_meant():
    sparse = compiled(masked())
    assert rigl_tf.count(sparse) == rigl_tf.count(sparse.model)
    plain = rigl_tf.strip(sparse)
    x, _ = tiny.arrays(4)
    np.testing.assert_allclose(plain(x), sparse(x), rtol=1e-6)
    paths = [item.path for item in rigl_tf.masked_kernels(sparse)]
    assert paths == ["fc1/kernel", "fc2/kernel"]
    with pytest.raises(ValueError, match="masked already"):
        rigl_tf.sparsify(sparse, 0.5)
    dense = rigl_tf.SparseModel(tiny.mlp(), None)
    assert rigl_tf.masked_kernels(rigl_tf.sparsify(dense, 0.5))


@pytest.mark.parametrize("method", ["save", "export"])
def test_what_is_for_training_only_says_what_to_keep(method, tmp_path):
    with pytest.raises(ValueError, match=r"rigl_tf.strip\(model\)"):
        getattr(compiled(masked()), method)(tmp_path / "model")


@pytest.mark.parametrize("duplicate", [params.slow(copy.deepcopy), "pickle"])
def test_copies_train_on_alike(duplicate):
    keras.utils.set_random_seed(0)
    sparse = compiled(
        masked(), updaters.SNFS(update_interval=2, update_end_step=16)
    )
    fit(sparse, epochs=2, shuffle=False)
    if duplicate == "pickle":
        twin = pickle.loads(pickle.dumps(sparse))
    else:
        twin = duplicate(sparse)
    assert twin.updater == sparse.updater
    assert twin.steps.step == sparse.steps.step == 8
    for model in (sparse, twin):
        fit(model, initial_epoch=2, epochs=4, shuffle=False)
    for a, b in zip(sparse.model.get_weights(), twin.model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_models_that_were_not_compiled_are_copied():
    sparse = rigl_tf.SparseModel(masked(), "set")
    assert copy.deepcopy(sparse).updater == updaters.SET()


@pytest.mark.slow
def test_frozen_kernels_take_no_part_until_they_are_thawed():
    model = masked()
    sparse = compiled(model)
    fit(sparse, epochs=3)
    first = model.get_layer("fc1")
    first.trainable = False
    with pytest.raises(ValueError, match="call `compile` again"):
        fit(sparse)
    sparse.compile("sgd", tiny.LOSS)
    before = [w.copy() for w in first.get_weights()]
    others = model.get_layer("fc2").kernel.numpy()
    fit(sparse, epochs=3)
    for a, b in zip(first.get_weights(), before):
        np.testing.assert_array_equal(a, b)
    assert (model.get_layer("fc2").kernel.numpy() != others).any()
    first.trainable = True
    sparse.compile("sgd", tiny.LOSS)
    fit(sparse, epochs=3)
    assert any((a != b).any() for a, b in zip(first.get_weights(), before))


def test_layers_frozen_after_sparsify_keep_their_masks():
    model = masked()
    model.get_layer("fc2").trainable = False
    pair = steps.SparseSteps(model, updaters.Static(), tiny.sgd())
    assert [item.path for item in pair.kernels] == ["fc1/kernel"]
    assert len(rigl_tf.masked_kernels(model)) == 2
    model.trainable = False
    with pytest.raises(ValueError, match="must be trainable"):
        steps.SparseSteps(model, updaters.Static(), tiny.sgd())


def test_an_optimizer_of_other_variables_is_refused():
    model = masked()
    model.get_layer("fc1").trainable = False
    optimizer = tiny.sgd()
    compiled(model, optimizer=optimizer)
    model.get_layer("fc1").trainable = True
    with pytest.raises(ValueError, match="make a new one"):
        compiled(model, optimizer=optimizer)


@pytest.mark.parametrize("strategy", ["default", params.slow("mirrored")])
def test_epochs_of_one_batch_make_their_steps(strategy, request):
    scope = tf.distribute.get_strategy()
    if strategy == "mirrored":
        scope = request.getfixturevalue("mirrored")
    with scope.scope():
        sparse = compiled(masked(), updaters.RigL(update_interval=2))
    history = sparse.fit(
        *tiny.arrays(8), batch_size=8, epochs=4, verbose=0
    ).history
    assert sparse.steps.step == 4
    assert len(history["loss"]) == 4
    assert sparse.steps.last_update_step == 2


def test_an_epoch_ends_with_its_data_after_the_step_that_it_must_make():
    sparse = compiled(
        masked(),
        updaters.RigL(
            update_interval=1,
            update_end_step=None,
            drop_fraction=schedules.Constant(0.1),
        ),
    )
    # Of each two of the four batches an update takes one, a step the other.
    fit(sparse, epochs=1)
    assert sparse.steps.step == 2


def test_an_update_without_a_batch_leaves_no_trace():
    # Six batches: an update, and five steps. At 5 another update would be due.
    updater = updaters.RigL(update_interval=5, update_end_step=1000)
    sparse = compiled(masked(), updater)
    sparse.fit(*tiny.arrays(48), batch_size=8, verbose=0)
    assert sparse.steps.step == 5
    assert sparse.steps.last_update_step == 0


@pytest.mark.slow
def test_one_fit_equals_several():
    def run(parts):
        keras.utils.set_random_seed(0)
        updater = updaters.RigL(update_interval=5, update_end_step=1000)
        sparse = compiled(masked(), updater)
        for first, last in parts:
            sparse.fit(
                *tiny.arrays(48),
                batch_size=8,
                shuffle=False,
                initial_epoch=first,
                epochs=last,
                verbose=0,
            )
        return sparse.model.get_weights()

    for a, b in zip(run([(0, 4)]), run([(0, 1), (1, 3), (3, 4)])):
        np.testing.assert_array_equal(a, b)


def test_single_batches_go_on_from_loaded_weights(tmp_path):
    x, y = tiny.arrays(8)
    sparse = tiny.sparse_model(tiny.rigl(), tiny.sgd())
    for n_steps in (3, 2):  # the second begins with an update
        sparse.save_weights(tmp_path / "a.weights.h5")
        for _ in range(n_steps):
            sparse.train_on_batch(x, y)
    assert (sparse.steps.step, sparse.steps.last_update_step) == (5, 3)
    sparse.load_weights(tmp_path / "a.weights.h5")
    assert (sparse.steps.step, sparse.steps.last_update_step) == (3, 0)
    sparse.train_on_batch(x, y)
    assert (sparse.steps.step, sparse.steps.last_update_step) == (4, 3)


def test_callback_lists_are_taken():
    sparse = compiled(masked(), updaters.Static())
    history = keras.callbacks.History()
    given = keras.callbacks.CallbackList([history], model=sparse)
    fit(sparse, callbacks=given)
    assert len(history.history["loss"]) == 1
    fit(sparse, callbacks=keras.callbacks.CSVLogger("/dev/null"))


def test_two_models_share_no_state_of_an_updater():
    updater = updaters.SNFS(update_interval=2)
    first = compiled(masked(), updater)
    second = compiled(rigl_tf.sparsify(tiny.nested(), 0.5), updater, "adam")
    fit(first)
    assert second.steps.updater is not first.steps.updater
    assert not set(map(id, first.steps.state().values())) & set(
        map(id, second.steps.state().values())
    )
