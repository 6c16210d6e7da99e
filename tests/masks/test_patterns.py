"""Sparsity patterns against golden masks and a slow statement in numpy."""

import functools
import json
import math
import pathlib

import hypothesis
from hypothesis import strategies as st
import keras
import moving
import numpy as np
import oracle
import params
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf.masks import counts
from rigl_tf.masks import patterns

_FILE = pathlib.Path(__file__).parents[1] / "golden/structured_masks.json"
GOLDEN = json.loads(_FILE.read_text(encoding="utf-8"))["cases"]
KINDS = (
    "n:2",
    "n:3_axis0",
    "2:4_axis-1",
    "block_2x3",
    "block_4x1_mean",
    "block_3x2_max",
    "channel",
    "channel_max",
    "channel_in",
    "channel_in_mean",
    "constant_fan_in",
    "unstructured",
)


def golden_shape(case):
    options = case["params"]
    if case["kind"] == "n_by_m":
        return patterns.NOfM(options["m"], options["n"], options["axis"])
    if case["kind"] == "block":
        pooling = "mean" if options["avg"] else "max"
        return patterns.Block(tuple(options["block"]), pooling)
    if case["kind"] == "channel":
        return patterns.Channel("mean")
    return patterns.UNSTRUCTURED


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["kind"])
def test_masks_are_those_of_jaxpruner(case):
    shape = golden_shape(case)
    scores = tf.constant(case["scores"], tf.float32)
    sparsity = case["sparsity"]
    if case["kind"] == "n_by_m":
        sparsity = 1 - shape.n / shape.m
    n_units = 1  # it keeps one weight at sparsity 1
    if sparsity < 1:
        n_units = shape.n_units(tuple(scores.shape), sparsity)
    np.testing.assert_array_equal(shape.top(scores, n_units), case["mask"])


def units_of(kind, shape):
    """Number the units and the groups of a kernel, weight by weight."""
    index = np.indices(shape)
    if kind.startswith("block"):
        size = [int(n) for n in kind.split("_")[1].split("x")]
        place = [*index[:-2], index[-2] // size[0], index[-1] // size[1]]
        return place, np.zeros(shape)
    if kind.startswith("channel_in"):
        return [index[-2]], np.zeros(shape)
    if kind.startswith("channel"):
        return [index[-1]], np.zeros(shape)
    if kind == "constant_fan_in":
        return list(index), index[-1]
    if kind == "unstructured":
        return list(index), np.zeros(shape)
    m, _, axis = kind.split(":")[1].partition("_axis")
    place = list(index)
    place[int(axis or -2)] = place[int(axis or -2)] // int(m)
    return list(index), np.ravel_multi_index(place, shape)


def numbered(place):
    """Number distinct tuples in the order of their first flat index."""
    flat = np.stack([p.reshape(-1) for p in place], 1)
    numbers = {}
    return np.array(
        [numbers.setdefault(tuple(row), len(numbers)) for row in flat]
    )


def numpy_move(kind, mask, drop, grow, fraction):
    """Drop over all units, grow in each group, by stable sorts."""
    shape = mask.shape
    place, group = units_of(kind, shape)
    unit = numbered(place)
    n_units = unit.max() + 1
    pooling = kind.rsplit("_", 1)[-1]

    def pool(scores):
        parts = [scores.reshape(-1)[unit == u] for u in range(n_units)]
        reduce = {"max": np.max, "mean": np.mean}.get(pooling, np.sum)
        return np.array([reduce(part.astype(np.float32)) for part in parts])

    active = pool(mask) > 0
    groups = np.array([group.reshape(-1)[unit == u][0] for u in range(n_units)])
    n_prune = oracle.n_prune(active.sum(), fraction)
    kept = oracle.top_k(pool(drop), active.sum() - n_prune, active)
    new = kept.copy()
    for g in np.unique(groups):
        here = groups == g
        lost = active[here].sum() - kept[here].sum()
        new[here] |= oracle.top_k(pool(grow)[here], lost, ~kept[here])
    return new[unit].reshape(shape)


@functools.cache
def compiled_move(kind):
    move = functools.partial(moving.drop_and_grow, pattern=patterns.get(kind))
    return tf.function(move, autograph=False, jit_compile=True)


@pytest.mark.parametrize(
    "kind, compiled",
    [
        *((kind, False) for kind in KINDS),
        # XLA takes seconds: of the kinds of groups, one each.
        ("n:2", True),
        params.slow(("block_3x2_max", True)),
        params.slow(("channel_in", True)),
        params.slow(("constant_fan_in", True)),
    ],
)
@hypothesis.settings(max_examples=12, deadline=None, derandomize=True)
@hypothesis.given(data=st.data())
def test_connections_move_within_their_groups(kind, compiled, data):
    kernel_shapes = [(3, 2, 6, 4), (6, 8), (12, 4)]
    kernel_shape = data.draw(
        st.sampled_from(kernel_shapes[:1] if compiled else kernel_shapes)
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    fraction = data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    # Few distinct values: many ties.
    drop, grow, first = (
        rng.integers(0, 4, kernel_shape).astype(np.float32) for _ in range(3)
    )
    shape = patterns.get(kind)
    n_units = shape.n_units(kernel_shape, 0.5)
    mask = shape.top(tf.constant(first), n_units)

    move = functools.partial(moving.drop_and_grow, pattern=shape)
    move = compiled_move(kind) if compiled else move
    new, grown = move(
        mask, tf.constant(drop), tf.constant(grow), tf.constant(fraction)
    )

    expected = numpy_move(kind, mask.numpy(), drop, grow, fraction)
    np.testing.assert_array_equal(new, expected)
    np.testing.assert_array_equal(grown, expected & (mask.numpy() == 0))


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_read_back(kind):
    shape = patterns.get(kind)
    assert patterns.get(str(shape)) == shape


@pytest.mark.parametrize(
    "name",
    [
        "2of4",
        "block",
        "block_0x2",
        "channel_min",
        "channel_on",
        "5:4",
        "0:4",
        3,
        None,
    ],
)
def test_names_of_no_shape_are_refused(name):
    with pytest.raises(ValueError, match="Received"):
        patterns.get(name)


def test_two_of_four_inputs_are_active():
    dense = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    model = rigl_tf.sparsify(dense, 0.5, "uniform", pattern="2:4")
    (item,) = rigl_tf.masked_kernels(model)
    mask = item.mask.numpy()
    assert (mask.reshape(2, 4, 3).sum(axis=1) == 2).all()


def test_whole_input_channels_are_active():
    dense = keras.Sequential(
        [keras.Input((6, 6, 8)), keras.layers.Conv2D(4, 3)]
    )
    model = rigl_tf.sparsify(dense, 0.75, pattern="channel_in")
    (item,) = rigl_tf.masked_kernels(model)
    per_input = item.mask.numpy().sum(axis=(0, 1, 3))
    assert sorted(per_input) == [0] * 6 + [36] * 2


@pytest.mark.parametrize(
    "name, sparsity, message",
    [
        ("2:4", 0.5, "must divide axis -2"),  # 6 inputs
        ("1:2", 0.25, "a sparsity of 0.5"),
        ("n:2", 0.8, "come only near"),  # one of two: 0.5
        ("n:2", 0.4, "come only near"),  # two of two: dense
        ("n:2_axis2", 0.5, "must have an axis 2"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, sparsity, message):
    with pytest.raises(ValueError, match=message):
        rigl_tf.sparsify(tiny.mlp(), sparsity, "uniform", pattern=name)


@pytest.mark.parametrize(
    "kind", ["n:2", "channel_max", "channel_in", "constant_fan_in"]
)
def test_saved_models_keep_the_pattern(kind, tmp_path):
    model = rigl_tf.sparsify(tiny.mlp(), 0.5, "uniform", pattern=kind)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for item in rigl_tf.masked_kernels(loaded):
        assert item.pattern == patterns.get(kind)


def test_masks_of_another_shape_are_seen():
    shape = patterns.ConstantFanIn()
    good = np.array([[1, 0], [0, 1], [1, 1]])
    shape.check_mask("a", good, (3, 2))
    patterns.Channel().check_mask("a", np.array([[0, 1], [0, 1]]), (2, 2))
    with pytest.raises(ValueError, match="must have the pattern channel"):
        patterns.Channel().check_mask("a", good, (3, 2))
    with pytest.raises(ValueError, match="must have the pattern constant"):
        shape.check_mask("a", np.array([[1, 0], [0, 1], [1, 0]]), (3, 2))
    shape.check_mask("a", np.array([[1, 0], [0, 0], [1, 0]]), (3, 2))
    two_of_four = patterns.get("2:4")
    two_of_four.check_mask("a", np.array([[1], [0], [1], [0]]), (4, 1))
    for wrong in ([1, 1, 1, 0, 1, 1, 1, 0], [1, 1, 0, 0, 1, 0, 0, 0]):
        with pytest.raises(ValueError, match="must have the pattern 2:4"):
            two_of_four.check_mask("a", np.array(wrong)[:, None], (8, 1))
    with pytest.raises(ValueError, match=r"shape \(2, 2\)"):
        shape.check_mask("a", good, (2, 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.75])
def test_counts_are_known_beforehand(kind, sparsity):
    kernel_shape = (12, 24)
    shape = patterns.get(kind)
    scores = np.random.default_rng(0).random(kernel_shape).astype("float32")
    mask = shape.top(tf.constant(scores), shape.n_units(kernel_shape, sparsity))
    assert np.count_nonzero(mask) == shape.n_active(kernel_shape, sparsity)


@pytest.mark.parametrize("size", [7, 49, 100, 1000, 2359296])
def test_the_sparsity_of_a_count_gives_the_count_back(size):
    for n_active in {1, 2, size // 3 + 1, size // 2, size - 1, size}:
        sparsity = counts.sparsity_of(n_active, size)
        assert counts.n_ones(size, sparsity) == n_active
        assert math.isclose(sparsity, 1 - n_active / size, abs_tol=1e-9)


def test_far_too_many_weights_are_refused():
    dense = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    with pytest.raises(ValueError, match="come only near"):
        rigl_tf.sparsify(dense, 0.98, "uniform", pattern="n:16")


@pytest.mark.parametrize(
    "kind", ["2:4", "channel", "channel_in", "constant_fan_in"]
)
def test_kernels_with_other_axes_are_refused(kind):
    tokens = keras.Input((8, 16))
    x = keras.layers.MultiHeadAttention(2, 8, name="heads")(tokens, tokens)
    dense = keras.Model(tokens, keras.layers.Dense(8, name="out")(x))
    with pytest.raises(ValueError, match="EinsumDense.*`dense_layers`"):
        rigl_tf.sparsify(dense, 0.5, "uniform", pattern=kind)
    model = rigl_tf.sparsify(
        dense, 0.5, "uniform", pattern=kind, dense_layers="heads"
    )
    (item,) = rigl_tf.masked_kernels(model)
    assert item.path == "out/kernel"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pruning_leaves_as_many_units_as_a_fresh_mask_has(dtype):
    # 0.7 in float32 times 10 lies just below 7.
    for n_zeros in range(10):
        sparsity = tf.constant(n_zeros / 10, dtype)
        left = patterns.Channel().left((3, 10), sparsity)
        assert int(left) == 10 - n_zeros
