"""Signals through random networks, against products of matrices."""

import keras
import numpy as np
import pytest

from rigl_tf.analysis import signals
from rigl_tf.layers import initializers
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masking


def network():
    return keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(40, "relu"),
            keras.layers.Dense(30),
        ]
    )


def test_deviations_are_those_of_the_outputs():
    model = network()
    found = signals.signal(model, n_examples=200, seed=4)
    x = np.random.default_rng(4).standard_normal((200, 64), np.float32)
    first, second = (layer.kernel.numpy() for layer in model.layers)
    hidden = np.maximum(x @ first, 0)
    outputs = hidden @ second
    assert list(found) == ["dense", "dense_1", "output"]
    assert found["dense"] == pytest.approx(hidden.std(axis=0).mean(), rel=1e-5)
    wanted = outputs.std(axis=0).mean()
    assert found["dense_1"] == pytest.approx(wanted, rel=1e-5)
    assert found["output"] == found["dense_1"]


@pytest.mark.parametrize("kind", ["even", "uneven"])
def test_only_unit_scaled_weights_keep_signals_at_any_sparsity(kind):
    """Section 3.1 of Evci et al. 2022."""
    scales = {}
    for sparsity in (0.5, 0.9):
        for name in (None, "unit_scaled"):
            model = network()
            if kind == "even":
                masked = masking.sparsify(model, sparsity, "uniform")
            else:
                masks = signals.uneven_masks(model, sparsity)
                masked = masking.with_masks(model, masks)
            if name:
                kernels = kernel_masks.masked_kernels(masked)
                initializers.initialize(kernels, name, 0)
            scales[name, sparsity] = signals.signal(masked)["output"]
    assert scales[None, 0.9] < 0.4 * scales[None, 0.5]
    ratio = scales["unit_scaled", 0.9] / scales["unit_scaled", 0.5]
    assert 0.6 < ratio < 1.6


def test_uneven_masks_have_the_density_but_not_of_each_unit():
    masks = signals.uneven_masks(network(), 0.8)
    assert sorted(masks) == ["dense/kernel", "dense_1/kernel"]
    mask = masks["dense/kernel"]
    assert mask.mean() == pytest.approx(0.2, abs=0.03)
    counts = mask.sum(axis=0)
    # A draw with equal chances has a deviation of 3.2.
    assert counts.std() > 5
    very_sparse = signals.uneven_masks(network(), 0.99)["dense/kernel"]
    assert very_sparse.sum(axis=0).min() == 1  # 0.64 on average
    again = signals.uneven_masks(network(), 0.8)
    np.testing.assert_array_equal(mask, again["dense/kernel"])


def test_inputs_of_unknown_shape_are_refused():
    model = keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="one input of known shape"):
        signals.signal(model)
