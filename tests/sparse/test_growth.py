"""The largest scores, tile by tile, are those of a ranking of all."""

import numpy as np
import oracle
import pytest
import sparse_layers
import tensorflow as tf

from rigl_tf.masks import draws
from rigl_tf.sparse import growth
from rigl_tf.sparse import random_positions

# Kernels and tiles: one row, one column, tiles that do not divide the kernel.
KERNELS = [
    ((50, 30), None),
    ((50, 30), (7, 11)),
    ((1, 100), (1, 9)),
    ((300, 1), (5, 1)),
    ((64, 129), (10, 64)),
]
BOTH = pytest.mark.parametrize("backend", sparse_layers.BACKENDS)


def expected(scores, kept, k):
    free = np.ones(scores.size, bool)
    free[kept] = False
    return np.flatnonzero(oracle.top_k(scores, k, free))


def found(tiles, shape, kept, k, tile, compiled=False):
    function = growth.largest
    if compiled:
        function = tf.function(function, autograph=False)
    kept = tf.constant(kept, tf.int64)
    return function(tiles, shape, kept, tf.constant(k, tf.int64), tile)


@BOTH
@pytest.mark.parametrize("n_kept, k", [(10, 0), (10, 15), (0, 40), (20, None)])
@pytest.mark.parametrize("shape, tile", KERNELS)
def test_the_largest_of_a_product_are_found(shape, tile, n_kept, k, backend):
    """Of small integers, so that most scores are equal."""
    generator = np.random.default_rng(0)
    x = generator.integers(-2, 3, (4, shape[0])).astype(np.float32)
    dy = generator.integers(-2, 3, (4, shape[1])).astype(np.float32)
    size = shape[0] * shape[1]
    kept = np.sort(generator.choice(size, n_kept, replace=False))
    k = size - n_kept if k is None else k
    scores = np.abs(x.T @ dy)
    with sparse_layers.backend(backend):
        tiles = growth.of_products(tf.constant(x), tf.constant(dy))
        for compiled in (False, True):
            positions, chosen = found(tiles, shape, kept, k, tile, compiled)
            np.testing.assert_array_equal(positions, expected(scores, kept, k))
            np.testing.assert_array_equal(chosen, scores.ravel()[positions])


@BOTH
def test_a_full_buffer_is_cut_to_the_best(backend, monkeypatch):
    monkeypatch.setattr(growth, "_SMALLEST_BUFFER", 1)
    generator = np.random.default_rng(2)
    scores = np.sort(generator.integers(0, 9, 400)).astype(np.float32)

    def tiles(row, column, last_row, last_column):
        return tf.constant(scores.reshape(40, 10))[
            row:last_row, column:last_column
        ]

    with sparse_layers.backend(backend):
        positions, _ = found(tiles, (40, 10), [3, 399], 12, (3, 10))
    np.testing.assert_array_equal(positions, expected(scores, [3, 399], 12))


@BOTH
def test_nan_is_found_first(backend):
    x = np.ones((1, 6), np.float32)
    dy = np.array([[1.0, np.nan, 2.0, 3.0]], np.float32)
    with sparse_layers.backend(backend):
        tiles = growth.of_products(tf.constant(x), tf.constant(dy))
        _, scores = found(tiles, (6, 4), [0], 2, (2, 4))
    assert np.isnan(scores).any()


@BOTH
@pytest.mark.parametrize("shape", [(301, 37), (12, 5), (5, 2**16)])
def test_draws_of_tiles_are_those_of_the_whole(shape, backend):
    seed = draws.stateless_seed(3, "fc1/kernel", "grow", 5)
    whole = draws.uniform_scores(shape, seed).numpy()
    tile = (4 * -(-shape[0] // 9), shape[1])
    with sparse_layers.backend(backend):
        tiles = growth.of_draws(shape[1], seed)
        positions, _ = found(tiles, shape, [3, 9], 20, tile)
    np.testing.assert_array_equal(positions, expected(whole, [3, 9], 20))


@pytest.mark.parametrize("shape", [(5, 7), (3000, 5000), (2, 2**23)])
@pytest.mark.parametrize("full_width", [False, True])
def test_tiles_are_small(shape, full_width):
    rows, columns = growth.tile_shape(shape, full_width)
    assert rows >= 1 and 1 <= columns <= shape[1]
    assert rows * columns <= max(1024**2, 4 * columns)
    if full_width:
        assert columns == shape[1] and rows % 4 == 0


def test_random_positions_are_free_distinct_and_repeatable():
    size = 2**40
    kept = random_positions.distinct(size, 1000, 1)
    grown = random_positions.outside(kept, size, 500, 2)
    assert np.unique(kept).size == 1000 and np.unique(grown).size == 500
    assert not np.intersect1d(kept, grown).size
    assert (np.diff(grown) > 0).all() and grown[-1] < size
    again = random_positions.outside(kept, size, 500, 2)
    np.testing.assert_array_equal(grown, again)


def test_random_positions_are_uniform():
    """Half of 20 positions, of which 5 are kept: each of 15 is as likely."""
    counts = np.zeros(20)
    kept = np.arange(0, 20, 4)
    for seed in range(2000):
        counts[random_positions.outside(kept, 20, 7, seed)] += 1
    assert not counts[kept].any()
    # Five standard deviations of a binomial distribution.
    share, n = 7 / 15, 2000
    spread = 5 * np.sqrt(share * (1 - share) / n)
    free = np.setdiff1d(np.arange(20), kept)
    np.testing.assert_allclose(counts[free] / n, share, atol=spread)
