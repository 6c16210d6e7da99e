"""Options of the methods: first weights of grown connections, noise, scope."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.experiments import config
from rigl_tf.layers import kernel_masks
from rigl_tf.training import mask_changes
from rigl_tf.training import optimizer_slots
from rigl_tf.updaters import schedules
from rigl_tf.updaters import update_times


def kernel(shape=(40, 50), density=0.5, sparsity=0.5, seed=0):
    rng = np.random.default_rng(seed)
    mask = (rng.random(shape) < density).astype("float32")
    weights = (rng.normal(size=shape) * mask).astype("float32")
    return kernel_masks.MaskedKernel(
        "fc/kernel",
        keras.Variable(weights),
        keras.Variable(mask, trainable=False, dtype="bool"),
        sparsity,
    )


def gradient_like(item, seed=1):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(size=item.kernel.shape).astype("float32"))


def grown_weights(grow_init, divisor=1.0):
    item = kernel()
    before = item.kernel.numpy()
    method = updaters.RigL(
        drop_fraction=schedules.Constant(0.5),
        grow_init=grow_init,
        grow_init_divisor=divisor,
    )
    (change,) = method.changes([item], [gradient_like(item)], tf.constant(0))
    mask_changes.apply(item, [], change, tf.constant(True))
    return before[before != 0], item.kernel.numpy()[change.grown.numpy()]


@pytest.mark.parametrize("divisor", [1.0, 10.0])
def test_normal_first_weights_have_the_spread_of_the_active_ones(divisor):
    active, grown = grown_weights("random_normal", divisor)
    assert len(grown) > 100
    spread = np.sqrt(np.mean(active**2)) / divisor
    assert np.std(grown) == pytest.approx(spread, rel=0.2)
    assert abs(np.mean(grown)) < 0.3 * spread
    assert np.abs(grown).max() > 1.5 * spread


@pytest.mark.parametrize("divisor", [1.0, 4.0])
def test_uniform_first_weights_lie_within_the_mean_magnitude(divisor):
    active, grown = grown_weights("random_uniform", divisor)
    bound = np.mean(np.abs(active)) / divisor
    assert np.abs(grown).max() <= bound * (1 + 1e-6)
    assert grown.min() < -0.8 * bound and grown.max() > 0.8 * bound


@pytest.mark.parametrize("grow_init", ["grad_scale", "grad_sign"])
def test_first_weights_from_gradients_need_a_batch(grow_init):
    with pytest.raises(ValueError, match="needs the dense gradients.*SET"):
        updaters.SET(update_end_step=10, grow_init=grow_init)


def dropped(noise, seed=0):
    item = kernel()
    method = updaters.SET(
        drop_fraction=schedules.Constant(0.3), drop_noise=noise, seed=seed
    )
    return method.drop_scores(item, None, tf.constant(7)).numpy()


def test_noise_moves_the_drop_scores_as_much_as_it_should():
    item = kernel()
    difference = dropped(0.1) - np.abs(item.kernel.numpy())
    assert np.std(difference) == pytest.approx(0.1, rel=0.1)
    np.testing.assert_array_equal(dropped(0.0), np.abs(item.kernel.numpy()))


def test_noise_is_a_function_of_the_seed():
    np.testing.assert_array_equal(dropped(0.1), dropped(0.1))
    assert not np.array_equal(dropped(0.1), dropped(0.1, seed=1))


def test_global_snip_keeps_the_largest_saliencies_of_all_kernels():
    items = [kernel((6, 7), 1.0, 0.5, 1), kernel((5, 4), 1.0, 0.8, 2)]
    gradients = [gradient_like(item, 3 + i) for i, item in enumerate(items)]
    changes = updaters.SNIP(scope="global").changes(items, gradients, None)
    scores = np.concatenate(
        [
            np.abs(item.kernel.numpy() * g.numpy()).ravel()
            for item, g in zip(items, gradients)
        ]
    )
    expected = oracle.top_k(scores, 21 + 4)
    found = np.concatenate([c.mask.numpy().ravel() for c in changes])
    np.testing.assert_array_equal(found, expected)


def test_unknown_scopes_are_refused():
    with pytest.raises(ValueError, match="one of layer, global.*'all'"):
        updaters.SNIP(scope="all")


def test_first_weights_can_be_drawn_from_the_initial_ones():
    item = kernel()
    before = item.kernel.numpy()
    initial = before[item.mask.numpy() > 0]
    method = updaters.SET(
        drop_fraction=schedules.Constant(0.5),
        grow_init="initial_dist",
        grow_init_divisor=2.0,
    )
    method.build([item])
    item.kernel.assign(before * 0.1)  # training has gone on
    (change,) = method.changes([item], None, tf.constant(0))
    mask_changes.apply(item, [], change, tf.constant(True))
    grown = 2 * item.kernel.numpy()[change.grown.numpy()]
    assert len(grown) > 100
    assert np.isin(grown, initial).all()
    assert len(np.unique(grown)) > 0.5 * len(grown)


def apply_to_slot(method, initial):
    """Return kernel, gradient, change and the new values of a slot of ones."""
    item = kernel()
    slot = optimizer_slots.Slot(
        "slot", keras.Variable(tf.ones_like(item.kernel.value)), initial
    )
    gradient = gradient_like(item)
    (change,) = method.changes([item], [gradient], tf.constant(0))
    mask_changes.apply(item, [slot], change, tf.constant(True))
    return item, gradient.numpy(), change, slot.variable.numpy()


def test_momentum_is_seeded_where_connections_are_grown():
    method = updaters.RigL(
        drop_fraction=schedules.Constant(0.5), initial_accumulator_scale=2.0
    )
    item, gradient, change, slot = apply_to_slot(method, 0.0)
    kept = item.mask.numpy()  # which the slot has ones for
    expected = np.where(change.grown, 2 * gradient, kept)
    np.testing.assert_array_equal(slot, expected)


def test_slots_that_begin_as_the_weight_hold_the_first_weight():
    method = updaters.RigL(
        drop_fraction=schedules.Constant(0.5), grow_init="grad_sign"
    )
    item, gradient, change, slot = apply_to_slot(method, None)
    expected = np.where(change.grown, np.sign(gradient), item.mask.numpy())
    np.testing.assert_array_equal(slot, expected)


def test_gradients_are_averaged_over_the_batches_before_an_update():
    item = kernel()
    method = updaters.RigL(
        update_interval=10,
        update_end_step=100,
        drop_fraction=schedules.Constant(0.3),
        gradient_batches=3,
    )
    method.build([item])
    gradients = [gradient_like(item, seed) for seed in range(12)]
    seen = []
    grow_scores = method.grow_scores
    method.grow_scores = lambda k, g, t: seen.append(g) or grow_scores(k, g, t)
    for step in range(10):
        method.observe([item], [gradients[step]], tf.constant(step, tf.int64))
    method.changes([item], [gradients[10]], tf.constant(10, tf.int64))
    mean = np.mean([g.numpy() for g in gradients[8:11]], axis=0)
    np.testing.assert_allclose(seen[-1], mean, rtol=1e-5, atol=1e-6)
    # The next mean begins anew.
    method.changes([item], [gradients[11]], tf.constant(20, tf.int64))
    np.testing.assert_array_equal(seen[-1], gradients[11])


def test_batches_that_are_averaged_cost_dense_gradients():
    one, three = (
        updaters.RigL(update_end_step=100, gradient_batches=n) for n in (1, 3)
    )
    assert three.update_flops(0.2, 1.0) - one.update_flops(
        0.2, 1.0
    ) == pytest.approx(2 * (1.0 - 0.2))


@pytest.mark.parametrize("method", [updaters.SET, updaters.RigL])
def test_updates_happen_at_explicit_steps(method):
    updater = method(
        update_steps=(3, 4, 9), update_end_step=20, drop_fraction=0.5
    )
    due, step, last = [], 0, None
    while (found := updater.next_update(step, last)) is not None:
        due.append(found)
        step = last = found
    assert due == [3, 4, 9]


@pytest.mark.parametrize("steps", [(), (4, 4), (5, 3), (-1, 2), (3, 21)])
def test_explicit_steps_must_increase_within_the_window(steps):
    with pytest.raises(ValueError, match="update_steps"):
        updaters.SET(update_steps=steps, update_end_step=20)


@pytest.mark.parametrize(
    "window",
    [
        update_times.UpdateWindow(5, 3, 20),
        update_times.UpdateWindow(5, 3, 18),  # ends with an update
        update_times.UpdateWindow(4),
        update_times.UpdateSteps((2, 3, 11)),
    ],
)
def test_steps_to_go_lead_to_the_next_update(window):
    for step in range(25):
        due = window.next_due(step + 1)
        to_go = int(window.steps_to_go(tf.constant(step, tf.int64)))
        assert to_go > 10**9 if due is None else to_go == due - step


def test_gin_binds_schedules_to_the_learning_rate():
    words = [
        "tasks/digits_mlp",
        "methods/rigl",
        "SPARSITY=0.9",
        "DROP_FRACTION=@schedules.LikeLearningRate()",
        "schedules.LikeLearningRate.value=0.4",
        "schedules.LikeLearningRate.learning_rate="
        "@keras.optimizers.schedules.CosineDecay()",
    ]
    updater = config.parse(config.read(words))().updater
    steps = [0, 500, 1000, 2000]
    expected = [0.2 * (1 + np.cos(np.pi * t / 2000)) for t in steps]
    found = [float(updater._drop_fraction(t)) for t in steps]
    np.testing.assert_allclose(found, expected, atol=1e-6)
