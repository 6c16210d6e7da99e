"""Methods that train inactive weights, against numpy, step by step."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.accounting import training_costs

RATE, MOMENTUM, L2 = 0.05, 0.9, 0.01
SIZE, N_ACTIVE, N_WIDER = (6, 4), 12, 18  # at sparsities 0.5 and 0.25


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 6))
    return x, x @ rng.normal(size=SIZE)


def squared_error(y, predictions):
    return tf.reduce_sum(tf.square(y - predictions), axis=-1)


def trainer(updater, l2=L2):
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="float64"),
            keras.layers.Dense(4, use_bias=False, dtype="float64"),
        ]
    )
    masked = rigl_tf.sparsify(model, 0.5, first_mask="dense")
    optimizer = keras.optimizers.SGD(RATE, momentum=MOMENTUM)
    return rigl_tf.SparseTrainer(
        masked, updater, optimizer, squared_error, l2=l2
    )


def simulate(w, n_steps, backward, penalty, interval=1, l2=L2):
    """Train dense weights `w` by hand; yield mask and weights per step."""
    x, y = data()
    velocity = np.zeros_like(w)
    for step in range(n_steps):
        if step % interval == 0:
            mask = oracle.top_k(np.abs(w), N_ACTIVE)
            wider = oracle.top_k(np.abs(w), N_WIDER)
        gradient = 2 * x.T @ (x @ (w * mask) - y) / len(x)
        gradient = backward(gradient, wider) + penalty(w, mask, wider, l2)
        velocity = MOMENTUM * velocity - RATE * gradient
        moves = backward(np.ones_like(w), wider) > 0  # not even by momentum
        w = np.where(moves, w + velocity, w)
    if n_steps % interval == 0:
        mask = oracle.top_k(np.abs(w), N_ACTIVE)
    return mask, w


METHODS = {
    "straight_through": (
        updaters.StraightThrough,
        lambda g, wider: g,
        lambda w, mask, wider, l2: l2 * w,
        1,
    ),
    "every third step": (
        lambda: updaters.StraightThrough(update_interval=3),
        lambda g, wider: g,
        lambda w, mask, wider, l2: l2 * w,
        3,
    ),
    "sr_ste": (
        lambda: updaters.StraightThrough(refinement=0.1),
        lambda g, wider: g,
        lambda w, mask, wider, l2: l2 * w + 0.1 * (1 - mask) * w,
        1,
    ),
    "dnw": (
        updaters.DNW,
        lambda g, wider: g,
        lambda w, mask, wider, l2: 0.0,
        1,
    ),
    "top_kast": (
        lambda: updaters.TopKAST(update_interval=3, backward_ratio=0.5),
        lambda g, wider: g * wider,
        lambda w, mask, wider, l2: l2 * w * (mask + (wider & ~mask) / 0.5),
        3,
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_dense_weights_are_trained_as_by_hand(name):
    build, backward, penalty, interval = METHODS[name]
    keras.utils.set_random_seed(1)
    ours = trainer(build())
    (item,) = ours.kernels
    first = item.kernel.numpy().copy()
    batches = tf.data.Dataset.from_tensors(data()).repeat()
    masks = []
    for n_steps in (1, 2, 3, 7, 12):
        ours.train(batches, n_steps)
        mask, w = simulate(first, n_steps, backward, penalty, interval)
        dense = ours.updater.dense_weights(item).numpy()
        np.testing.assert_allclose(dense, w, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(item.mask.numpy(), mask)
        np.testing.assert_array_equal(item.kernel.numpy(), dense * mask)
        masks.append(mask)
    # Which are active does change, or the test would show little.
    assert any((a != b).any() for a, b in zip(masks, masks[1:]))


def test_a_built_optimizer_is_refused():
    model = tiny.masked_mlp(updaters.DNW())
    optimizer = tiny.sgd()
    optimizer.build(model.trainable_variables)
    with pytest.raises(ValueError, match="must not have been built"):
        rigl_tf.SparseTrainer(model, updaters.DNW(), optimizer, tiny.LOSS)


def test_averages_of_weights_are_refused():
    with pytest.raises(ValueError, match="use_ema=True"):
        tiny.trainer(
            updaters.DNW(),
            lambda: keras.optimizers.SGD(0.1, use_ema=True),
        )


def test_fit_and_the_loop_train_alike():
    x, y = tiny.arrays()
    model = tiny.masked_mlp(updaters.StraightThrough())
    sparse = rigl_tf.SparseModel(model, updaters.StraightThrough())
    sparse.compile(optimizer=tiny.sgd(), loss=tiny.LOSS)
    sparse.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    keras.utils.set_random_seed(0)
    loop = tiny.trainer(updaters.StraightThrough())
    for a, b in zip(loop.kernels, rigl_tf.masked_kernels(model)):
        assert a.path == b.path
    loop.train(tiny.batches(), 12)
    assert sparse.steps.step == loop.step
    for a, b in zip(loop.kernels, sparse.steps.kernels):
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())
        np.testing.assert_array_equal(a.kernel.numpy(), b.kernel.numpy())


def test_top_kast_costs_what_its_sets_cost():
    updater = updaters.TopKAST(backward_ratio=0.5)
    # f_A 0.2, f_B halfway between f_A and f_D.
    assert updater.step_flops(0.2, 1.0) == pytest.approx(2 * 0.2 + 0.6)
    assert training_costs.step_flops(
        updaters.DNW(), 0.2, 1.0, 9
    ) == pytest.approx(1.4)


def test_weights_outside_the_backward_set_stand_still():
    """Also where momentum would carry them on."""
    updater = updaters.TopKAST(update_interval=4, backward_ratio=0.5)
    ours = trainer(updater)
    batches = tf.data.Dataset.from_tensors(data()).repeat()
    (item,) = ours.kernels
    for n_steps in range(4, 24, 4):
        ours.train(batches, n_steps)
        outside = updater._backward[item.path].numpy() == 0
        before = updater.dense_weights(item).numpy()
        ours.train(batches, n_steps + 3)
        after = updater.dense_weights(item).numpy()
        np.testing.assert_array_equal(before[outside], after[outside])
        assert (before[~outside] != after[~outside]).all()


def test_constraints_of_kernels_hold_for_dense_weights():
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, kernel_constraint=keras.constraints.NonNeg()),
        ]
    )
    masked = rigl_tf.sparsify(model, 0.5, first_mask="dense")
    ours = rigl_tf.SparseTrainer(masked, updaters.DNW(), tiny.sgd(), tiny.LOSS)
    ours.train(tiny.batches(), 10)
    (item,) = ours.kernels
    assert item.kernel.numpy().min() >= 0
    assert ours.updater.dense_weights(item).numpy().min() >= 0


def test_weights_that_are_assigned_count():
    ours = trainer(updaters.DNW())
    (item,) = ours.kernels
    item.kernel.assign(np.full(SIZE, 7.0))
    ours.train(tf.data.Dataset.from_tensors(data()).repeat(), 0)
    np.testing.assert_array_equal(ours.updater.dense_weights(item).numpy(), 7)
