"""Draws: counts, seeds, distributions."""

import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from rigl_tf.masks import draws
from rigl_tf.masks import patterns


def in_mode(function, mode):
    """Return a function, compiled unless the mode is eager."""
    if mode == "eager":
        return function
    return tf.function(function, jit_compile=mode == "xla")


def test_normal_values_are_finite_and_normal():
    # Among these draws is the largest uniform one.
    values = draws.normal_values((4_000_000,), tf.constant([1, 3])).numpy()
    assert np.isfinite(values).all()
    assert abs(values.mean()) < 0.003 and abs(values.std() - 1) < 0.003


def random_mask(shape, n_active, seed):
    """Draw a mask as `sparsify` does."""
    return patterns.UNSTRUCTURED.top(
        draws.uniform_scores(shape, seed), n_active
    )


def test_random_mask_has_exactly_n_active_ones():
    seed = draws.stateless_seed(1, "dense/kernel", "first_mask")
    for n_active in (0, 1, 37, 104, 105):
        mask = random_mask((3, 5, 7), n_active, seed).numpy()
        assert mask.shape == (3, 5, 7)
        assert set(np.unique(mask)) <= {0.0, 1.0}
        assert np.count_nonzero(mask) == n_active


def test_random_mask_depends_on_the_seed_alone():
    def draw(seed):
        seed = draws.stateless_seed(seed, "dense/kernel", "first_mask")
        return random_mask((8, 8), 32, seed).numpy()

    np.testing.assert_array_equal(draw(1), draw(1))
    assert (draw(1) != draw(2)).any()


@pytest.mark.slow
def test_random_masks_favour_no_position():
    draw = tf.function(lambda seed: random_mask((4, 6), 8, seed))
    hits = sum(draw(tf.constant([5, step])).numpy() for step in range(1000))
    standard_deviation = math.sqrt(1000 * 1 / 3 * 2 / 3)
    assert np.abs(hits - 1000 / 3).max() < 4.5 * standard_deviation


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_draws_do_not_depend_on_the_compiler(mode):
    seed = draws.stateless_seed(0, "dense/kernel", "grow", 100)
    for function in (draws.uniform_scores, draws.normal_values):
        draw = functools.partial(function, (50, 40))
        compiled = in_mode(draw, mode)(seed)
        np.testing.assert_allclose(compiled, draw(seed), rtol=1e-5, atol=1e-6)
    scores = draws.uniform_scores((50, 40), seed)
    draw = functools.partial(draws.uniform_scores, (50, 40))
    np.testing.assert_array_equal(in_mode(draw, mode)(seed), scores)


def test_draws_have_the_distribution_they_are_named_after():
    seed = draws.stateless_seed(0, "dense/kernel", "grow")
    uniform = draws.uniform_scores((100_000,), seed).numpy()
    normal = draws.normal_values((100_000,), seed).numpy()
    assert 0 <= uniform.min() and uniform.max() < 1
    for bound in (0.1, 0.5, 0.9):
        assert np.mean(uniform < bound) == pytest.approx(bound, abs=0.006)
    for bound, share in ((-2, 0.0228), (-1, 0.1587), (0, 0.5), (1, 0.8413)):
        assert np.mean(normal < bound) == pytest.approx(share, abs=0.006)


def test_seeds_are_the_checksum_of_their_labels():
    # Pinned: a run that is resumed by a later version must draw the same.
    seed = draws.stateless_seed(3, "dense/kernel", "grow", 7)
    assert seed.dtype == tf.int32
    assert seed.numpy().tolist() == [63482699, 7]


def test_runs_paths_purposes_and_steps_have_seeds_of_their_own():
    labels = [
        (seed, path, purpose, step)
        for seed in (0, 1)
        for path in ("layers/0/kernel", "layers/1/kernel", "layers/10/kernel")
        for purpose in ("first_mask", "drop", "grow")
        for step in (0, 1, 100)
    ]
    seeds = {tuple(draws.stateless_seed(*label).numpy()) for label in labels}
    assert len(seeds) == len(labels)


def test_a_traced_step_gives_the_same_seed():
    traced = tf.function(
        lambda step: draws.stateless_seed(3, "k", "grow", step)
    )
    np.testing.assert_array_equal(
        traced(tf.constant(250, tf.int64)),
        draws.stateless_seed(3, "k", "grow", 250),
    )
