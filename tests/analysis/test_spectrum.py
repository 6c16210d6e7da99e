"""Hessians, against matrices made by other means."""

import keras
import numpy as np
import pytest

from rigl_tf.analysis import loss
from rigl_tf.analysis import spectrum
from rigl_tf.analysis import weights
from rigl_tf.layers import masking

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(50, 5)).astype(np.float32)
CLASSES = RANDOM.integers(3, size=50)
SQUARES = keras.losses.MeanSquaredError()


def linear():
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(1, use_bias=False)]
    )
    mask = np.array([[1], [1], [0], [1], [1]], bool)
    return masking.with_masks(model, {"dense/kernel": mask}), mask[:, 0]


def smooth():
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Dense(3),
        ]
    )
    return masking.sparsify(model, 0.5)


def test_the_hessian_of_squares_is_the_covariance_of_active_inputs():
    model, mask = linear()
    active = X[:, mask].astype(float)
    wanted = np.sort(np.linalg.eigvalsh(2 * active.T @ active / len(X)))
    targets = np.zeros((50, 1), np.float32)
    for exact in (True, False):
        found = spectrum.hessian(
            model,
            X,
            targets,
            function=SQUARES,
            largest=2,
            exact=exact,
            batch_size=20,
        )
        assert found.size == 4
        np.testing.assert_allclose(found.largest, wanted[:-3:-1], rtol=1e-5)
        assert found.smallest == pytest.approx(wanted[0], rel=1e-5)
    # Four Lanczos steps see the whole matrix of four rows.
    np.testing.assert_allclose(np.unique(found.nodes.round(4)), wanted, 1e-4)


def test_probes_agree_with_the_whole_matrix():
    model = smooth()
    exact = spectrum.hessian(model, X, CLASSES, exact=True)
    probed = spectrum.hessian(model, X, CLASSES, steps=60, probes=30)
    np.testing.assert_allclose(probed.largest, exact.largest, rtol=1e-4)
    assert probed.smallest == pytest.approx(exact.smallest, rel=1e-4)
    off = abs(probed.trace - exact.trace)
    assert 0 < off < 3 * probed.trace_error
    assert probed.shares.sum() == pytest.approx(1)
    assert probed.nodes[-1] == pytest.approx(exact.largest[0], rel=1e-4)
    assert probed.negative_share == pytest.approx(exact.negative_share, abs=0.1)
    assert exact.trace == pytest.approx(exact.nodes.sum())
    x, density = exact.density()
    assert np.sum(density) * (x[1] - x[0]) == pytest.approx(1, abs=1e-3)
    assert exact.ratio == pytest.approx(-exact.smallest / exact.largest[0])


def test_products_are_those_of_a_symmetric_matrix_of_differences():
    given = weights.of_network(smooth())
    function = loss.Loss(given, X, CLASSES)
    v, w = RANDOM.normal(size=(2, len(given.vector)))
    product = function.hessian_product(given.vector, v)
    other = function.hessian_product(given.vector, w)
    assert w @ product == pytest.approx(v @ other, rel=1e-4)
    step = 1e-2 * v / np.linalg.norm(v)
    ahead, behind = (
        function.gradient(given.vector + s * step)[-1] for s in (1, -1)
    )
    slope = (ahead - behind) / 2e-2 * np.linalg.norm(v)
    np.testing.assert_allclose(product, slope, rtol=0.02, atol=2e-3)


def test_inactive_weights_never_count():
    """Their curvature is another one, and is left out."""
    model, mask = linear()
    given = weights.of_network(model)
    np.testing.assert_array_equal(given.trained, mask)
    dense = weights.Weights(
        given.model, given.shapes, given.vector, np.ones(5, bool), ()
    )
    targets = np.zeros((50, 1), np.float32)
    options = {"function": SQUARES, "exact": True, "largest": 1}
    own = spectrum.hessian(given, X, targets, **options)
    whole = spectrum.hessian(dense, X, targets, **options)
    gap = 2 * np.mean(X[:, 2].astype(float) ** 2)
    assert whole.trace - own.trace == pytest.approx(gap, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"largest": 0}, "largest"),
        ({"steps": 0}, "steps"),
        ({"probes": 1}, "probes"),
        ({"largest": 500}, "below the number of trained weights"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        spectrum.hessian(smooth(), X, CLASSES, **options)


def test_large_matrices_are_refused():
    model = keras.Sequential([keras.Input((60,)), keras.layers.Dense(60)])
    with pytest.raises(ValueError, match="up to 3,000 trained weights"):
        spectrum.hessian(
            model, np.ones((2, 60), np.float32), np.zeros(2, int), exact=True
        )
