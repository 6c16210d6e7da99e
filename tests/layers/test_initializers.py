"""Sparse initialisation against its variances in numpy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf.layers import initializers
from rigl_tf.masks import draws

MODES = ("fan_in", "fan_out", "fan_avg")


def uneven_mask(shape, seed=0):
    """Draw a mask whose columns differ in density."""
    rng = np.random.default_rng(seed)
    share = np.linspace(0.05, 0.9, shape[-1])
    return (rng.random(shape) < share).astype("float32")


def numpy_fans(mask):
    """Count inputs and outputs per weight, with loops."""
    *_, n_in, n_out = mask.shape
    fan_in, fan_out = np.zeros(mask.shape), np.zeros(mask.shape)
    for o in range(n_out):
        fan_in[..., o] = mask[..., o].sum()
    for i in range(n_in):
        fan_out[..., i, :] = mask[..., i, :].sum()
    return fan_in, fan_out


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("shape", [(40, 60), (3, 3, 16, 24)])
def test_each_unit_has_the_variance_of_its_own_inputs(
    mode, distribution, shape
):
    mask = uneven_mask(shape)
    init = initializers.UnitScaled(mode=mode, distribution=distribution)
    fan_in, fan_out = numpy_fans(mask)
    fan = {
        "fan_in": fan_in,
        "fan_out": fan_out,
        "fan_avg": (fan_in + fan_out) / 2,
    }[mode]
    standard = []
    for seed in range(4):
        draw = draws.stateless_seed(seed, "a", "init")
        weights = init(tf.constant(mask), draw).numpy()
        assert not weights[mask == 0].any()
        active = mask > 0
        standard.append((weights / np.sqrt(2 / np.maximum(fan, 1)))[active])
    standard = np.concatenate(standard)
    assert np.std(standard) == pytest.approx(1, abs=0.05)
    assert np.mean(standard) == pytest.approx(0, abs=0.05)
    if distribution == "uniform":
        assert np.abs(standard).max() <= np.sqrt(3) * (1 + 1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_layers_have_the_variance_of_their_density(mode):
    mask = uneven_mask((50, 80))
    init = initializers.LayerScaled(mode=mode, scale=1.0)
    weights = init(tf.constant(mask), draws.stateless_seed(0, "a", "init"))
    fan = {"fan_in": 50, "fan_out": 80, "fan_avg": 65}[mode] * mask.mean()
    spread = np.std(weights.numpy()[mask > 0])
    assert spread == pytest.approx(np.sqrt(1 / fan), rel=0.05)


def test_signals_keep_their_size_through_sparse_layers():
    mask = uneven_mask((400, 300))
    init = initializers.UnitScaled(scale=1.0)
    weights = init(tf.constant(mask), draws.stateless_seed(0, "a", "init"))
    x = np.random.default_rng(0).normal(size=(500, 400))
    spread = np.std(x @ weights.numpy(), axis=0)
    assert np.abs(np.mean(spread) - 1) < 0.05
    assert spread.min() > 0.5  # also units with few inputs


@pytest.mark.parametrize("name", ["unit_scaled", "layer_scaled"])
def test_models_are_initialised_and_masks_stay(name):
    model = rigl_tf.sparsify(tiny.mlp(), 0.5, "uniform")
    kernels = rigl_tf.masked_kernels(model)
    before = [(k.kernel.numpy().copy(), k.mask.numpy()) for k in kernels]
    initializers.initialize(kernels, name, seed=3)
    for item, (weights, mask) in zip(kernels, before):
        np.testing.assert_array_equal(item.mask.numpy(), mask)
        assert (item.kernel.numpy() != weights)[mask > 0].all()
        assert not tiny.off_mask(item, item.kernel).any()


@pytest.mark.parametrize(
    "arguments",
    [{"mode": "fan"}, {"distribution": "cauchy"}, {"scale": 0}],
)
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="Received"):
        initializers.UnitScaled(**arguments)


def test_units_without_inputs_are_no_division_by_zero():
    weights = initializers.UnitScaled()(
        tf.zeros([4, 3]), draws.stateless_seed(0, "a", "init")
    )
    assert not keras.ops.any(weights)
