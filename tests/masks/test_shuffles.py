"""Random orders: a permutation, computed place by place."""

import math

import numpy as np
import oracle
import pytest
import tensorflow as tf

from rigl_tf.masks import draws
from rigl_tf.masks import shuffles

# Squares, products, primes, and a table with cells that are no position.
SIZES = (1, 2, 3, 7, 36, 37, 960, 1280, 9973, 2 * 5003)


def numbers(size):
    return tf.range(size, dtype=tf.int64)


def seed(number=0):
    return draws.stateless_seed(number, "fc1/kernel", "candidates", 5)


@pytest.mark.parametrize("size", SIZES)
def test_every_position_has_one_place(size):
    shuffle = shuffles.shuffle(size, seed())
    positions = shuffle.positions(numbers(size)).numpy()
    np.testing.assert_array_equal(np.sort(positions), np.arange(size))
    places = shuffle.places(tf.constant(positions))
    np.testing.assert_array_equal(places, np.arange(size))


@pytest.mark.parametrize("size", SIZES)
def test_the_order_is_that_of_whole_numbers(size):
    shuffle = shuffles.shuffle(size, seed(1))
    expected = oracle.shuffled(size, shuffle.keys.numpy())
    np.testing.assert_array_equal(shuffle.positions(numbers(size)), expected)


@pytest.mark.parametrize("size", [2**40, 2**62, 2**62 - 57, 10**15 + 37])
def test_places_of_large_orders_return(size):
    shuffle = shuffles.shuffle(size, seed())
    places = np.r_[np.arange(50), np.arange(size - 50, size)]
    positions = shuffle.positions(tf.constant(places)).numpy()
    assert np.unique(positions).size == 100
    assert positions.min() >= 0 and positions.max() < size
    back = shuffle.places(tf.constant(positions))
    np.testing.assert_array_equal(back, places)


def test_places_are_uniform():
    """Of the first 40 of 960 places, over many seeds."""
    n_seeds, size, n_first = 1500, 960, 40
    counts = np.zeros(size)

    @tf.function(autograph=False)
    def first(seed):
        shuffle = shuffles.shuffle(size, seed)
        return shuffle.positions(tf.range(n_first, dtype=tf.int64))

    for number in range(n_seeds):
        counts[first(tf.constant([number, 3])).numpy()] += 1
    share = n_first / size
    spread = 5 * math.sqrt(n_seeds * share * (1 - share))
    np.testing.assert_allclose(counts, n_seeds * share, atol=spread)


@pytest.mark.parametrize("size", [960, 997])
def test_graph_and_xla_agree_with_eager(size):
    def order(number):
        shuffle = shuffles.shuffle(size, number)
        return shuffle.positions(numbers(size)), shuffle.places(numbers(size))

    eager = order(seed())
    for jit_compile in (False, True):
        compiled = tf.function(order, autograph=False, jit_compile=jit_compile)
        for a, b in zip(eager, compiled(seed())):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [0, 2**62 + 1])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=f"size.*{size}"):
        shuffles.shuffle(size, seed())
