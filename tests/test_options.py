"""Options of the methods: first weights of grown connections, noise, scope."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf

from rigl_tf import masking
from rigl_tf import schedules
from rigl_tf import steps
from rigl_tf import updaters


def kernel(shape=(40, 50), density=0.5, sparsity=0.5, seed=0):
    rng = np.random.default_rng(seed)
    mask = (rng.random(shape) < density).astype("float32")
    weights = (rng.normal(size=shape) * mask).astype("float32")
    return masking.MaskedKernel(
        "fc/kernel",
        keras.Variable(weights),
        keras.Variable(mask, trainable=False),
        sparsity,
    )


def gradient_like(item, seed=1):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.normal(size=item.kernel.shape).astype("float32"))


def grown_weights(grow_init, divisor=1.0):
    item = kernel()
    before = item.kernel.numpy()
    method = updaters.RigL(
        drop_fraction=schedules.constant(0.5),
        grow_init=grow_init,
        grow_init_divisor=divisor,
    )
    (change,) = method.changes([item], [gradient_like(item)], tf.constant(0))
    steps._apply_change(item, [], change, tf.constant(True))
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
        drop_fraction=schedules.constant(0.3), drop_noise=noise, seed=seed
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
