"""Masks equal a numpy oracle: eagerly, in graphs and under XLA."""

import functools
import math
from unittest import mock

import hypothesis
from hypothesis import strategies as st
import moving
import numpy as np
import oracle
import params
import pytest
import tensorflow as tf

from rigl_tf.masks import selection

# Compiled once per shape and dtype; eager cases have drawn shapes.
_COMPILED = (
    ((1,), "float32"),
    ((7, 11), "float32"),
    ((3, 5, 2), "float32"),
    ((2, 3, 4, 12), "float32"),
    ((301,), "float64"),
    ((4, 6, 5), "float64"),
    ((13, 9), "bfloat16"),
    ((2, 2, 3, 5), "bfloat16"),
)
_DTYPES = ("float32", "float64", "bfloat16")
_LARGEST_SIDE = {1: 300, 2: 17, 3: 7, 4: 4}
_TIED = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2e38, math.inf, -math.inf)
_MODES = ("eager", "graph", "xla")
# XLA takes long to compile.
_DRAWN = ("eager", "graph", params.slow("xla"))
# A graph as on a machine with an accelerator.
_DEVICE = "accelerator"
_few_values = st.one_of(
    st.sampled_from([(0.0,), (0.0, -0.0), (0.0, -0.0, 1.0, -1.0)]),
    st.lists(st.sampled_from(_TIED), min_size=1, max_size=4),
)
_settings = hypothesis.settings(
    deadline=None, max_examples=40, derandomize=True
)

drop_and_grow = moving.drop_and_grow


@functools.cache
def _compiled(function, mode, signature):
    """Keep one trace per signature, so that none is ever retraced."""
    del signature
    return tf.function(function, jit_compile=mode == "xla")


def _call(function, mode, *args):
    if mode == "eager":
        return function(*args)
    flat = tf.nest.flatten(args)
    signature = tuple((t.dtype, tuple(t.shape)) for t in flat)
    compiled = _compiled(function, mode, signature)
    if mode != _DEVICE:
        return compiled(*args)
    with mock.patch.object(selection, "_is_on_host", return_value=False):
        return compiled(*args)


@st.composite
def _kinds(draw, mode):
    """Draw a shape and a dtype."""
    if mode != "eager":
        return draw(st.sampled_from(_COMPILED))
    rank = draw(st.integers(1, 4))
    side = st.integers(1, _LARGEST_SIDE[rank])
    shape = draw(st.lists(side, min_size=rank, max_size=rank))
    return tuple(shape), draw(st.sampled_from(_DTYPES))


@st.composite
def _scores(draw, shape, dtype):
    """Draw scores: all of a few values, or normally distributed."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = generator.normal(size=shape)
    if draw(st.booleans()):
        values = generator.choice(draw(_few_values), size=shape)
    return values.astype(tf.as_dtype(dtype).as_numpy_dtype)


@st.composite
def _masks(draw, shape):
    """Draw a mask: empty, full, or of any density."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from((0.0, 0.02, 0.1, 0.5, 0.9, 1.0)))
    return (generator.random(shape) < density).astype(np.float32)


_fractions = st.one_of(
    st.sampled_from((0.0, 0.1, 0.3, 0.5, 1 / 3, 1.0)),
    st.floats(0.0, 1.0, width=32),
)


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("mode", (*_DRAWN, _DEVICE))
@_settings
@hypothesis.given(data=st.data())
def test_the_largest_are_what_a_stable_sort_finds(mode, limited, data):
    shape, dtype = data.draw(_kinds(mode))
    scores = data.draw(_scores(shape, dtype))
    k = data.draw(st.integers(0, math.prod(shape) + 1))
    args = [tf.constant(scores), tf.constant(k)]
    eligible = None
    if limited:
        eligible = data.draw(_masks(shape)).astype(bool)
        args.append(tf.constant(eligible))

    mask = _call(selection.largest, mode, *args)

    assert mask.dtype == tf.bool
    np.testing.assert_array_equal(mask, oracle.top_k(scores, k, eligible))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("values", ["normal", "few", "zeros", "signed"])
def test_the_largest_of_many_are_what_a_stable_sort_finds(values, dtype):
    generator = np.random.default_rng(0)
    scores = np.abs(generator.normal(size=200_000))
    if values == "few":
        scores = np.round(scores)
    elif values == "zeros":
        scores[generator.random(scores.size) < 0.8] = 0
    elif values == "signed":
        scores -= 0.7
    scores = scores.astype(dtype)
    for share in (1.0, 0.8, 0.02, 0.00003):
        eligible = generator.random(scores.size) < share
        n_eligible = np.count_nonzero(eligible)
        for k in (0, 1, n_eligible // 7, n_eligible - 1, n_eligible + 1):
            marked = selection.largest(tf.constant(scores), k, eligible)
            expected = oracle.top_k(scores, k, eligible)
            np.testing.assert_array_equal(marked, expected)


@pytest.mark.parametrize("mode", _DRAWN)
@_settings
@hypothesis.given(data=st.data())
def test_drop_and_grow_moves_what_stable_sorts_move(mode, data):
    shape, dtype = data.draw(_kinds(mode))
    mask = data.draw(_masks(shape))
    drop = data.draw(_scores(shape, dtype))
    grow = data.draw(_scores(shape, dtype))
    fraction = np.float32(data.draw(_fractions))

    new_mask, grown = _call(
        drop_and_grow,
        mode,
        *map(tf.constant, (mask, drop, grow, fraction)),
    )

    expected, expected_grown = oracle.drop_and_grow(mask, drop, grow, fraction)
    np.testing.assert_array_equal(new_mask, expected)
    np.testing.assert_array_equal(grown, expected_grown)
    assert np.count_nonzero(new_mask) == np.count_nonzero(mask)


@pytest.mark.parametrize("mode", _MODES)
@_settings
@hypothesis.given(data=st.data())
def test_global_top_k_ranks_all_kernels_together(mode, data):
    shapes = [(4, 3), (5,), (2, 2, 3)]
    scores = [data.draw(_scores(shape, "float32")) for shape in shapes]
    k = data.draw(st.integers(0, 29))

    chosen = _call(
        selection.global_top_k_masks,
        mode,
        [tf.constant(s) for s in scores],
        tf.constant(k),
    )

    flat = oracle.top_k(np.concatenate([s.reshape(-1) for s in scores]), k)
    parts = np.split(flat, [12, 17])
    for mask, part, shape in zip(chosen, parts, shapes, strict=True):
        np.testing.assert_array_equal(mask, part.reshape(shape))


def test_global_top_k_marks_eligible_scores_alone():
    scores = [tf.constant([3.0, 1.0]), tf.constant([[2.0], [4.0]])]
    eligible = [tf.constant([False, True]), tf.constant([[True], [False]])]
    for k, expected in ((1, [[0, 0], [[1], [0]]]), (4, [[0, 1], [[1], [0]]])):
        masks = selection.global_top_k_masks(scores, k, eligible)
        assert [mask.numpy().tolist() for mask in masks] == expected


def test_the_lower_index_of_equals_is_marked():
    scores = tf.constant([[1.0, 3.0], [3.0, 3.0]])
    assert selection.largest(scores, 2).numpy().tolist() == [[0, 1], [1, 0]]
    zeros = tf.constant([-0.0, 0.0, -0.0])
    assert selection.largest(zeros, 1).numpy().tolist() == [1, 0, 0]


@pytest.mark.parametrize("mode", _MODES)
def test_float64_scores_that_tie_in_float32_are_ranked(mode):
    scores = tf.constant([1.0, 1.0 + 1e-12, 1.0 - 1e-12], tf.float64)
    best = _call(selection.largest, mode, scores, tf.constant(1))
    kept, _ = _call(
        drop_and_grow,
        mode,
        tf.constant([0.0, 1.0, 1.0]),
        scores,
        scores,
        tf.constant(0.5),
    )

    assert best.numpy().tolist() == [0, 1, 0]
    # The third is dropped; the first scores higher and is grown.
    assert kept.numpy().tolist() == [1, 1, 0]


def test_an_active_zero_outranks_inactive_weights():
    mask = tf.constant([0.0, 0.0, 1.0, 1.0])
    drop_scores = tf.constant([0.0, 9.0, 0.0, 0.0])
    new_mask, grown = drop_and_grow(
        mask, drop_scores, tf.constant([0.0, 5.0, 9.0, 1.0]), 0.5
    )
    # The kept one is the first active, not a stronger inactive one.
    assert new_mask.numpy().tolist() == [0, 1, 1, 0]
    assert grown.numpy().tolist() == [False, True, False, False]


def test_a_connection_just_dropped_may_return():
    mask = tf.constant([1.0, 1.0, 0.0, 0.0])
    new_mask, grown = drop_and_grow(
        mask,
        tf.constant([2.0, 1.0, 0.0, 0.0]),
        tf.constant([0, 9.0, 1, 1]),
        0.5,
    )
    assert new_mask.numpy().tolist() == [1, 1, 0, 0]
    assert not grown.numpy().any()


@pytest.mark.parametrize("fraction", [0.0, 0.24])
def test_a_fraction_below_one_connection_changes_nothing(fraction):
    mask = tf.constant([[0, 1, 0], [1, 1, 1]], tf.float32)
    scores = tf.zeros([2, 3])
    new_mask, _ = drop_and_grow(mask, scores, scores, fraction)
    np.testing.assert_array_equal(new_mask, mask)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_a_dense_mask_stays_dense(fraction):
    scores = tf.reshape(tf.range(12.0), [3, 4])
    new_mask, grown = drop_and_grow(tf.ones([3, 4]), scores, -scores, fraction)
    assert new_mask.numpy().all()
    assert not grown.numpy().any()


@pytest.mark.parametrize("dtype", [tf.bool, tf.int32, tf.bfloat16])
def test_masks_of_every_dtype_are_moved(dtype):
    mask = tf.cast(tf.constant([1, 1, 0, 0]), dtype)
    scores = tf.constant([1.0, 2.0, 3.0, 4.0])
    new_mask, _ = drop_and_grow(mask, scores, scores, 0.5)
    assert new_mask.numpy().tolist() == [0, 1, 0, 1]


def test_the_number_of_moves_is_a_truncated_float32_product():
    # 0.29 * 100 is 28.999999999999996 in float64 and 29 in float32.
    mask = tf.constant([1.0] * 100 + [0.0] * 100)
    scores = tf.range(200.0)
    _, grown = drop_and_grow(mask, scores, scores, 0.29)
    assert np.count_nonzero(grown) == 29


def test_fractions_above_one_move_every_connection_and_no_more():
    mask, scores = tf.constant([1.0, 1, 0, 0, 0, 0]), tf.range(6.0)
    new, grown = drop_and_grow(mask, scores, scores, 1.5)
    assert new.numpy().tolist() == [0, 0, 0, 0, 1, 1]
    assert grown.numpy().tolist() == [False] * 4 + [True] * 2


def test_fractions_below_zero_move_no_connection():
    mask, scores = tf.constant([1.0, 1, 0, 0]), tf.range(4.0)
    new, grown = drop_and_grow(mask, scores, scores, -0.5)
    assert new.numpy().tolist() == [1, 1, 0, 0]
    assert not grown.numpy().any()


def test_a_graph_holds_the_selection_once_for_all_kernels():
    shapes_of_kernels = ((3, 4), (5,), (2, 3, 4), (7, 7))

    @tf.function(autograph=False)
    def select():
        return [
            selection.largest(tf.ones(shape), tf.size(tf.ones(shape)) // 2)
            for shape in shapes_of_kernels
        ]

    with mock.patch.object(selection, "_is_on_host", return_value=False):
        graph = select.get_concrete_function().graph
    calls = {
        op.get_attr("f").name
        for op in graph.get_operations()
        if op.type.endswith("PartitionedCall")
    }
    assert len(calls) == 1
    for mask, shape in zip(graph.structured_outputs, shapes_of_kernels):
        assert tuple(mask.shape) == shape
    for mask in select():
        assert np.count_nonzero(mask) == mask.shape.num_elements() // 2
