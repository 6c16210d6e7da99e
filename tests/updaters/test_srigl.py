"""SRigL against a slow statement in numpy."""

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
import tiny

from rigl_tf import updaters
from rigl_tf.layers import kernel_masks
from rigl_tf.masks import patterns


def numpy_srigl(weights, mask, gradient, fan_in, fraction, gamma):
    """Move, ablate and refill, neuron by neuron."""
    w, g = np.abs(weights), np.abs(gradient)
    n_inputs, n_neurons = mask.shape
    n_prune = oracle.n_prune(mask.sum(), fraction)
    kept = oracle.top_k(w, mask.sum() - n_prune, mask)
    wanted = oracle.top_k(g, n_prune, ~mask) & ~mask
    budget = n_neurons * fan_in
    old_fan_in = min(budget // max((mask.sum(0) > 0).sum(), 1), n_inputs)
    least = np.ceil(np.float32(gamma) * np.float32(old_fan_in))
    alive = (kept | wanted).sum(axis=0) >= least
    if not alive.any():
        alive[:] = True
    new_fan_in = min(budget // alive.sum(), n_inputs)
    new = np.zeros_like(mask)
    for neuron in np.flatnonzero(alive):
        k = kept[:, neuron]
        k &= oracle.top_k(w[:, neuron], new_fan_in, k)
        room = new_fan_in - k.sum()
        new[:, neuron] = k | oracle.top_k(g[:, neuron], room, ~k)
    return new


def decide(weights, mask, gradient, sparsity, **options):
    updater = updaters.SRigL(
        drop_fraction=lambda step: tf.constant(0.4), **options
    )
    item = kernel_masks.MaskedKernel(
        "a",
        keras.Variable((weights * mask).astype("float32")),
        keras.Variable(mask, trainable=False, dtype="bool"),
        sparsity,
        patterns.ConstantFanIn(),
    )
    last = kernel_masks.MaskedKernel(
        "b", item.kernel, item.mask, sparsity, item.pattern
    )
    updater.build([item, last])
    gradient = tf.constant(gradient, tf.float32)
    change, _ = updater.changes(
        [item, last], [gradient] * 2, tf.constant(5, tf.int64)
    )
    return change.mask.numpy() > 0, change.grown.numpy()


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_neurons_are_ablated_and_refilled(gamma, seed):
    rng = np.random.default_rng(seed)
    shape, sparsity = (20, 9), 0.7
    # Neurons of very different scales: some lose nearly all.
    scale = rng.choice([0.05, 1.0, 3.0], shape[1])
    weights = (rng.normal(size=shape) * scale).astype("float32")
    gradient = (rng.normal(size=shape) * scale).astype("float32")
    fan_in = oracle.n_ones(shape[0], sparsity)
    mask = patterns.ConstantFanIn().top(
        tf.constant(rng.random(shape), tf.float32), fan_in
    )
    mask = mask.numpy() > 0
    if seed % 2:  # one that is ablated already
        mask[:, 4] = False
    found, grown = decide(weights, mask, gradient, sparsity, min_salient=gamma)
    expected = numpy_srigl(weights * mask, mask, gradient, fan_in, 0.4, gamma)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(grown, expected & ~mask)
    inputs = expected.sum(axis=0)
    assert len(set(inputs[inputs > 0])) == 1
    if gamma == 0.7:
        assert (inputs == 0).any()


def test_another_pattern_is_refused():
    with pytest.raises(ValueError, match="needs the pattern"):
        tiny.trainer(updaters.SRigL(update_end_step=5), pattern="unstructured")


@pytest.mark.parametrize(
    "options", [{"min_salient": 1.1}, {"redistribution": "nonzero"}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="Received"):
        updaters.SRigL(update_end_step=5, **options)


def test_outputs_and_dense_kernels_lose_no_neuron():
    rng = np.random.default_rng(0)
    updater = updaters.SRigL(
        drop_fraction=lambda step: tf.constant(0.5), min_salient=1.0
    )
    kernels = []
    for path, shape, sparsity in [("a", (8, 4), 0.0), ("b", (8, 4), 0.5)]:
        mask = patterns.ConstantFanIn().top(
            tf.constant(rng.random(shape), tf.float32),
            oracle.n_ones(shape[0], sparsity),
        )
        weights = rng.normal(size=shape) * [1, 1, 1, 1e-6] * mask.numpy()
        kernels.append(
            kernel_masks.MaskedKernel(
                path,
                keras.Variable(weights.astype("float32")),
                keras.Variable(mask, trainable=False, dtype="bool"),
                sparsity,
                patterns.ConstantFanIn(),
            )
        )
    updater.build(kernels)
    gradients = [tf.ones((8, 4)) * [1.0, 1.0, 1.0, 0.0]] * 2
    for item, change in zip(
        kernels, updater.changes(kernels, gradients, tf.constant(5, tf.int64))
    ):
        counts = change.mask.numpy().sum(axis=0)
        assert (counts == oracle.n_ones(8, item.sparsity)).all()
