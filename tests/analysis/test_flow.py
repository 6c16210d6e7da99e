"""Norms of gradients, against the gradient of a linear model."""

import keras
import numpy as np
import pytest

from rigl_tf.analysis import flow
from rigl_tf.layers import masking

RANDOM = np.random.default_rng(1)
X = RANDOM.normal(size=(30, 4)).astype(np.float32)
Y = RANDOM.normal(size=(30, 2)).astype(np.float32)
MASK = np.array([[1, 0], [0, 0], [1, 1], [0, 1]], bool)


def model_of(mask):
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    if mask is None:
        return dense
    return masking.with_masks(dense, {"dense/kernel": mask})


@pytest.mark.parametrize("mask", [MASK, None], ids=["sparse", "dense"])
def test_norms_are_those_of_the_gradient(mask):
    model = model_of(mask)
    found = flow.gradient_flow(
        model, X, Y, function=keras.losses.MeanSquaredError(), batch_size=7
    )
    off = model(X).numpy().astype(float) - Y
    kernel, bias = X.T.astype(float) @ off / 30, off.mean(axis=0)
    followed = kernel if mask is None else kernel * mask
    assert found.loss == pytest.approx(np.mean(off**2), rel=1e-5)
    squares = np.sum(bias**2)
    dense = np.sqrt(np.sum(kernel**2) + squares)
    active = np.sqrt(np.sum(followed**2) + squares)
    assert found.dense == pytest.approx(dense, rel=1e-5)
    assert found.active == pytest.approx(active, rel=1e-5)
    if mask is None:
        assert found.kernels == {} and found.effective == found.active
    else:
        norms = np.linalg.norm(followed), np.linalg.norm(kernel)
        assert found.kernels == {"dense/kernel": pytest.approx(norms, rel=1e-5)}
        assert found.effective == pytest.approx(norms[0], rel=1e-5)
        assert found.active < found.dense


def test_the_accuracy_is_the_share_of_right_answers():
    model = model_of(MASK)
    labels = RANDOM.integers(0, 2, 30)
    found = flow.gradient_flow(model, X, labels, batch_size=7)
    is_right = model(X).numpy().argmax(axis=-1) == labels
    assert found.accuracy == pytest.approx(np.mean(is_right))
    assert 0 < found.accuracy < 1
