"""GSE grows the best of a random sample, masked and truly sparse."""

import math

import keras
import numpy as np
import oracle
import pytest
import sparse_layers
import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import sparse_kernels
from rigl_tf.masks import draws
from rigl_tf.masks import patterns
from rigl_tf.masks import shuffles
from rigl_tf.sparse import candidates
from rigl_tf.sparse import layers

PATH, STEP = "fc/kernel", tf.constant(7, tf.int64)
SHAPE = (30, 24)
# Candidates per active connection: fewer than are dropped, all that are free.
GAMMAS = [0.01, 0.5, 1.0, 3.7, 1e9]


def gse(gamma=1.0, drop_fraction=0.3):
    return updaters.GSE(
        gamma=gamma, drop_fraction=lambda step: drop_fraction, seed=2
    )


def scene(density=0.1, shape=SHAPE):
    """Return weights with zeros, inputs and output gradients."""
    rng = np.random.default_rng(0)
    mask = rng.permutation(np.arange(math.prod(shape)) < density * 720)
    weights = rng.normal(size=shape) * mask.reshape(shape)
    x, dy = (rng.normal(size=(8, n)) for n in shape)
    return [array.astype(np.float32) for array in (weights, x, dy)]


def order(size):
    """Return the order in which positions become candidates."""
    seed = draws.stateless_seed(2, PATH, "candidates", STEP)
    return oracle.shuffled(size, shuffles.shuffle(size, seed).keys.numpy())


def expected(weights, scores, gamma, drop_fraction=0.3):
    """Return `(kept, candidates, new mask)`, flat and boolean."""
    weights, scores = weights.ravel(), scores.ravel()
    n_active = np.count_nonzero(weights)
    n_lost = oracle.n_prune(n_active, drop_fraction)
    kept = oracle.top_k(abs(weights), n_active - n_lost, weights != 0)
    n_drawn = max(math.ceil(min(gamma, 1e6) * n_active), n_lost)
    drawn = [p for p in order(weights.size) if not kept[p]][:n_drawn]
    grown = sorted(drawn, key=lambda p: (-scores[p], p))[:n_lost]
    candidates_, new = np.zeros_like(kept), kept.copy()
    candidates_[drawn] = new[grown] = True
    return kept, candidates_, new


def masked_kernel(weights, pattern=patterns.UNSTRUCTURED):
    mask = (weights != 0).astype(np.float32)
    return kernel_masks.MaskedKernel(
        PATH,
        keras.Variable(weights),
        keras.Variable(mask, trainable=False, dtype="bool"),
        1 - mask.mean(),
        pattern,
    )


def sparse_kernel(weights):
    positions = np.flatnonzero(weights)
    layer = layers.SparseDense(weights.shape[1], n_active=len(positions))
    layer.build((None, weights.shape[0]))
    layer.connect(positions, weights.ravel()[positions])
    return sparse_kernels.SparseKernel(PATH, layer)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("density", [0.1, 0.25])
def test_the_best_candidates_are_grown(density, gamma):
    weights, x, dy = scene(density)
    gradient = x.T @ dy
    kept, drawn, new = expected(weights, abs(gradient), gamma)
    assert not (drawn & kept).any() and (new & ~kept <= drawn).all()
    assert new.sum() == np.count_nonzero(weights)
    (change,) = gse(gamma).changes(
        [masked_kernel(weights)], [tf.constant(gradient)], STEP
    )
    np.testing.assert_array_equal(change.mask.numpy().ravel(), new)
    grown = new & (weights.ravel() == 0)
    np.testing.assert_array_equal(change.grown.numpy().ravel(), grown)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("density", [0.1, 0.25])
@pytest.mark.parametrize("backend", sparse_layers.BACKENDS)
def test_truly_sparse_kernels_grow_the_same(backend, density, gamma):
    weights, x, dy = scene(density)
    gradient = abs(x.T @ dy)
    kept, _, new = expected(weights, gradient, gamma)
    with sparse_layers.backend(backend):
        kernel = sparse_kernel(weights)
        pair = tf.constant(x), tf.constant(dy)
        (change,) = gse(gamma).sparse_changes([kernel], [pair], STEP)
    grown = np.flatnonzero(new & ~kept)
    np.testing.assert_array_equal(change.kept, kept[np.flatnonzero(weights)])
    np.testing.assert_array_equal(change.grown, grown)
    np.testing.assert_allclose(
        change.scores, gradient.ravel()[grown], rtol=1e-4, atol=1e-5
    )


def test_without_gradient_the_lowest_candidates_are_grown():
    weights, *_ = scene()
    kept, _, new = expected(weights, np.zeros(SHAPE), 1.0)
    kernel = sparse_kernel(weights)
    (change,) = gse().sparse_changes([kernel], [None], STEP)
    np.testing.assert_array_equal(change.grown, np.flatnonzero(new & ~kept))


@pytest.mark.parametrize("k", [0, 1, 90, 600, 5000])
def test_candidates_are_distinct_and_free(k):
    kept = np.arange(0, 720, 9)
    seed = draws.stateless_seed(2, PATH, "candidates", STEP)
    drawn = candidates.draw(
        720, tf.constant(kept), tf.constant(k, tf.int64), seed
    )
    free = [p for p in order(720) if p % 9]
    np.testing.assert_array_equal(drawn, np.sort(free[:k]))


@pytest.mark.parametrize("pattern, gamma", [("n:4", 1.0), ("n:6", 0.5)])
def test_each_group_has_candidates_of_its_own(pattern, gamma):
    pattern = patterns.get(pattern)
    shape, rng = (24, 5), np.random.default_rng(1)
    mask = pattern.top(
        tf.constant(rng.random(shape)), pattern.n_units(shape, 0.7)
    ).numpy()
    weights = (rng.normal(size=shape) * mask).astype(np.float32)
    gradient = rng.normal(size=shape).astype(np.float32)
    (change,) = gse(gamma).changes(
        [masked_kernel(weights, pattern)], [tf.constant(gradient)], STEP
    )
    n_active = int(mask.sum())
    n_kept = n_active - oracle.n_prune(n_active, 0.3)
    kept = oracle.top_k(abs(weights), n_kept, mask)
    new, place = kept.copy(), np.argsort(order(120)).reshape(shape)
    m = int(str(pattern).partition(":")[2])
    for column in range(5):
        for first in range(0, 24, m):
            group = (slice(first, first + m), column)
            n_before = int(mask[group].sum())
            n_lost = n_before - kept[group].sum()
            n_drawn = max(math.ceil(gamma * n_before), n_lost)
            drawn = oracle.top_k(-place[group], n_drawn, ~kept[group])
            drawn &= ~kept[group]
            new[group] |= oracle.top_k(abs(gradient[group]), n_lost, drawn)
    np.testing.assert_array_equal(change.mask.numpy(), new)


@pytest.mark.parametrize("n_in, n_out, block", [(50, 30, 1), (24, 40, 4)])
@pytest.mark.parametrize("backend", sparse_layers.BACKENDS)
def test_gradients_at_positions_are_those_of_the_product(
    backend, n_in, n_out, block
):
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(9, n_in)), rng.normal(size=(9, n_out))
    grid = n_in // block, n_out // block
    positions = np.sort(rng.choice(math.prod(grid), 25, replace=False))
    tensors = [tf.constant(a, tf.float32) for a in (x, dy)]
    with sparse_layers.backend(backend):
        found = candidates.gradients(*tensors, tf.constant(positions), block)
    cut = (x.T @ dy).reshape(grid[0], block, grid[1], block)
    wanted = cut.transpose(0, 2, 1, 3).reshape(-1, block, block)[positions]
    wanted = wanted[:, 0, 0] if block == 1 else wanted
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gamma", [0, -1.0, math.nan, math.inf])
def test_gamma_must_be_positive(gamma):
    with pytest.raises(ValueError, match="`gamma` must be.*gamma="):
        updaters.GSE(gamma=gamma)


def test_gamma_must_be_a_number():
    with pytest.raises(TypeError, match="`gamma` must be a number.*'1'"):
        updaters.GSE(gamma="1")


def test_costs_are_those_of_candidates():
    """An update: activations, their gradients, those of gamma n weights."""
    method = updaters.GSE(gamma=2.0, update_interval=9)
    assert method.update_flops(10.0, 1000.0) == 40
    assert method.training_flops(10.0, 1000.0) == (9 * 30 + 40) / 10
    assert updaters.GSE(gamma=500.0).update_flops(10.0, 1000.0) == 1020
