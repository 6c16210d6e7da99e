"""Distributions of sparsity over kernels, and the counts that follow."""

import math
import re

import hypothesis
from hypothesis import strategies as st
import numpy as np
import oracle
import pytest
import tiny

from rigl_tf.layers import masking
from rigl_tf.masks import counts
from rigl_tf.masks import distributions

LENET = {
    "conv1": (5, 5, 1, 6),
    "conv2": (5, 5, 6, 16),
    "dense1": (400, 120),
    "dense2": (120, 10),
}
ROUND = {"a": (20, 50), "b": (10, 30), "c": (100, 100)}
FUNCTIONS = (
    distributions.uniform,
    distributions.erdos_renyi,
    distributions.erdos_renyi_kernel,
)
ALL = pytest.mark.parametrize("function", FUNCTIONS)
_settings = hypothesis.settings(
    deadline=None, max_examples=100, derandomize=True
)
_shapes = st.lists(
    st.lists(st.integers(1, 60), min_size=2, max_size=4),
    min_size=1,
    max_size=6,
).map(lambda shapes: {f"k{i}": tuple(s) for i, s in enumerate(shapes)})


def raw_density(function, shape):
    """Return the density of a kernel before scaling."""
    if function is distributions.uniform:
        return 1.0
    if function is distributions.erdos_renyi:
        shape = shape[-2:]
    return sum(shape) / math.prod(shape)


def by_bisection(raw, sizes, n_active):
    """Find densities `min(1, eps * raw)` that add up to `n_active` ones."""
    low, high = 0.0, 1 / raw.min()
    for _ in range(64):  # all bits of a float
        eps = (low + high) / 2
        if (np.minimum(1, eps * raw) * sizes).sum() < n_active:
            low = eps
        else:
            high = eps
    return np.minimum(1, high * raw)


def n_zeros(shapes, sparsities):
    """Count the zeros of fresh masks."""
    return sum(
        math.prod(shapes[name]) - oracle.n_ones(math.prod(shapes[name]), s)
        for name, s in sparsities.items()
    )


@ALL
@_settings
@hypothesis.given(shapes=_shapes, sparsity=st.floats(0, 0.999))
def test_densities_solve_the_equation_of_the_distribution(
    function, shapes, sparsity
):
    sizes = np.array([math.prod(s) for s in shapes.values()])
    raw = np.array([raw_density(function, s) for s in shapes.values()])
    target = sum(oracle.n_ones(int(size), sparsity) for size in sizes)
    if function is distributions.uniform:
        expected = np.full(len(shapes), 1 - sparsity)
    else:
        expected = by_bisection(raw, sizes, target)

    result = function(shapes, sparsity)

    assert list(result) == list(shapes)
    assert all(0 <= s < 1 for s in result.values())
    np.testing.assert_allclose(
        [1 - s for s in result.values()], expected, atol=1e-9
    )


@ALL
def test_zeros_meet_the_target_to_one_per_kernel(function):
    for sparsity in (0.5, 0.9, 0.98):
        zeros = n_zeros(LENET, function(LENET, sparsity))
        target = n_zeros(LENET, dict.fromkeys(LENET, sparsity))
        assert abs(zeros - target) <= len(LENET)


@ALL
def test_sparsity_zero_keeps_every_kernel_dense(function):
    assert n_zeros(LENET, function(LENET, 0.0)) == 0


def test_uniform_gives_every_kernel_the_very_same_sparsity():
    expected = {"conv1": 0.9, "conv2": 0.9, "dense1": 0.9, "dense2": 0.9}
    assert distributions.uniform(LENET, 0.9) == expected


def test_small_kernels_stay_dense_under_erk():
    sparsities = distributions.erdos_renyi_kernel(LENET, 0.5)
    assert sparsities["conv1"] == 0.0
    assert sparsities["dense2"] == 0.0
    assert 0 < sparsities["dense1"] < 1


def test_er_looks_at_the_last_two_dimensions_alone():
    shapes = {"wide": (7, 7, 30, 20), "narrow": (30, 20)}
    er = distributions.erdos_renyi(shapes, 0.8)
    erk = distributions.erdos_renyi_kernel(shapes, 0.8)
    assert er["wide"] == er["narrow"] == pytest.approx(0.8, abs=1e-3)
    assert erk["wide"] > 0.8 > erk["narrow"]


def test_power_scale_zero_is_uniform():
    result = distributions.erdos_renyi_kernel(ROUND, 0.75, power_scale=0.0)
    assert result == pytest.approx({"a": 0.75, "b": 0.75, "c": 0.75}, abs=1e-12)


def test_power_scale_is_the_exponent_of_the_raw_density():
    result = distributions.erdos_renyi_kernel(ROUND, 0.95, power_scale=2.0)
    raw = {"a": 70 / 1000, "b": 40 / 300, "c": 200 / 10000}
    ratio = (1 - result["a"]) / (1 - result["c"])
    assert ratio == pytest.approx((raw["a"] / raw["c"]) ** 2)


@ALL
def test_custom_names_and_expressions_fix_sparsities(function):
    custom = {"conv1": 0.1, "conv.*": 0.3, "dense2": 0.0}
    result = function(LENET, 0.9, custom=custom)
    assert result["conv1"] == 0.1  # the first key that matches decides
    assert result["conv2"] == 0.3
    assert result["dense2"] == 0.0
    # Outside of the budget: the last free kernel bears S alone.
    assert result["dense1"] == pytest.approx(0.9, abs=1e-12)
    assert list(result) == list(LENET)


@ALL
def test_all_kernels_may_be_custom(function):
    result = function(LENET, 0.9, custom={".*1": 0.25, ".*2": 0.5})
    assert list(result.values()) == [0.25, 0.5, 0.25, 0.5]


def test_names_with_special_characters_name_themselves_alone():
    result = distributions.uniform(
        {"a+b": (4, 4), "aab": (4, 4)}, 0.5, custom={"a+b": 0.25}
    )
    # As an expression the key would match the second as well.
    assert result == {"a+b": 0.25, "aab": 0.5}


@pytest.mark.parametrize("key", ["conv3", "conv", "dense1/kernel", ""])
def test_a_custom_key_that_matches_nothing_is_an_error(key):
    rule = f"`custom` names no kernel: '{key}'.*conv1, conv2, dense1, dense2"
    for function in FUNCTIONS:
        with pytest.raises(ValueError, match=rule):
            function(LENET, 0.9, custom={"conv1": 0.5, key: 0.5})


def test_a_custom_key_that_is_no_expression_is_an_error():
    rule = r"`custom` takes names or regular expressions. Received: 'conv\('"
    with pytest.raises(ValueError, match=rule):
        distributions.uniform(LENET, 0.9, custom={"conv(": 0.5})


@pytest.mark.parametrize("sparsity", [1.0, -0.01, 90, math.nan])
def test_sparsities_outside_their_range_are_errors(sparsity):
    rule = r"must lie in \[0, 1\)"
    for function in FUNCTIONS:
        with pytest.raises(ValueError, match="`sparsity` " + rule):
            function(LENET, sparsity)
        with pytest.raises(ValueError, match=r"`custom\['conv1'\]` " + rule):
            function(LENET, 0.5, custom={"conv1": sparsity})


@ALL
@_settings
@hypothesis.given(
    shapes=_shapes,
    sparsity=st.floats(0, 0.999),
    fixed=st.floats(0, 0.999),
)
def test_counted_custom_kernels_leave_the_overall_zeros(
    function, shapes, sparsity, fixed
):
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    target = n_zeros(shapes, dict.fromkeys(shapes, sparsity))
    spent = oracle.n_ones(sizes["k0"], fixed)
    n_active = sum(sizes.values()) - target - spent
    room = sum(sizes.values()) - sizes["k0"]
    hypothesis.assume(len(shapes) > 1)
    hypothesis.assume(len(shapes) - 1 <= n_active <= room)

    result = function(shapes, sparsity, custom={"k0": fixed}, count_custom=True)

    assert result["k0"] == fixed
    assert abs(n_zeros(shapes, result) - target) <= len(shapes)


@ALL
def test_counting_custom_kernels_moves_the_others(function):
    custom = {"b": 0.0}
    counted = function(ROUND, 0.8, custom=custom, count_custom=True)
    apart = function(ROUND, 0.8, custom=custom)
    # 300 of 2,260 ones are spent; 1,960 of 11,000 remain, or 2,200.
    assert n_zeros(ROUND, counted) == pytest.approx(9040, abs=3)
    assert n_zeros(ROUND, apart) == pytest.approx(8800, abs=3)


def test_counting_without_custom_kernels_changes_nothing():
    for function in FUNCTIONS:
        counted = function(LENET, 0.9, count_custom=True)
        assert counted == function(LENET, 0.9)


def bounds_of(function, shapes, sparsity, custom):
    with pytest.raises(ValueError, match="infeasible") as caught:
        function(shapes, sparsity, custom=custom, count_custom=True)
    numbers = re.search(
        r"is ([\d.e-]+), the largest ([\d.e-]+)\.", str(caught.value)
    )
    return float(numbers[1]), float(numbers[2])


@ALL
@pytest.mark.parametrize(
    "shapes, custom, too_sparse, too_dense",
    [
        (ROUND, {"a": 0.5}, 0.96, 0.01),
        (ROUND, {"c": 0.9}, 0.95, 0.7),
        ({"a": (10, 10), "b": (3, 3)}, {"a": 0.5}, 0.6, 0.4),
        (
            {"a": (730, 3499), "b": (695, 3909)},
            {"a": 0.7313544899204903},
            0.869819,
            0.3,
        ),
    ],
)
def test_infeasible_sparsities_name_the_feasible_ones(
    function, shapes, custom, too_sparse, too_dense
):
    bounds = bounds_of(function, shapes, too_sparse, custom)
    assert bounds == bounds_of(function, shapes, too_dense, custom)
    lowest, largest = bounds
    total = sum(math.prod(shape) for shape in shapes.values())
    for sparsity in bounds:
        result = function(shapes, sparsity, custom=custom, count_custom=True)
        slack = 2 * len(shapes) / total  # zeros are rounded per kernel
        assert n_zeros(shapes, result) / total == pytest.approx(
            sparsity, abs=slack
        )
        assert max(result.values()) < 1  # each keeps a connection
    for beyond in (lowest - 2e-6, largest + 2e-6):
        with pytest.raises(ValueError, match="infeasible"):
            function(shapes, beyond, custom=custom, count_custom=True)


@ALL
def test_all_kernels_may_be_custom_and_counted(function):
    custom = {"a": 0.5}
    result = function({"a": (10, 10)}, 0.5, custom=custom, count_custom=True)
    assert result == custom


@pytest.mark.parametrize("function", FUNCTIONS[1:])
def test_erdos_renyi_needs_matrices(function):
    shapes = {"kernel": (3, 4), "scale": (7,)}
    rule = r"rank 2 or more. Received: shape \(7,\) of 'scale'"
    with pytest.raises(ValueError, match=rule):
        function(shapes, 0.5)


def test_no_kernels_are_an_error():
    with pytest.raises(ValueError, match="at least one kernel. Received: {}"):
        distributions.uniform({}, 0.5)


def test_uniform_takes_vectors():
    assert distributions.uniform({"scale": (7,)}, 0.5) == {"scale": 0.5}


@pytest.mark.parametrize("power_scale", [-1.0, math.nan])
def test_a_negative_power_scale_is_an_error(power_scale):
    with pytest.raises(ValueError, match="`power_scale` must be at least 0"):
        distributions.erdos_renyi_kernel(LENET, 0.5, power_scale=power_scale)


def test_get_finds_functions_by_name_and_keeps_functions():
    assert distributions.get("uniform") is distributions.uniform
    assert distributions.get("erdos_renyi") is distributions.erdos_renyi
    erk = distributions.get("erdos_renyi_kernel")
    assert erk is distributions.erdos_renyi_kernel
    assert distributions.get(by_bisection) is by_bisection


def test_get_rejects_an_unknown_name():
    rule = "one of uniform, erdos_renyi, erdos_renyi_kernel.*'ekr'"
    with pytest.raises(ValueError, match=rule):
        distributions.get("ekr")


@pytest.mark.parametrize(
    ("size", "sparsity", "floor", "ceil"),
    [
        (235200, 0.8, 47040, 47040),  # (1 - S) * size in float32: 47,039
        (100, 0.29, 72, 71),  # 28.999... zeros; in float32 29
        (33554435, 0.5, 16777218, 16777217),  # in float32 16,777,217
        (7, 0.0, 7, 7),
        (3, 0.999, 1, 0),
    ],
)
def test_n_ones_counts_in_float64(size, sparsity, floor, ceil):
    assert counts.n_ones(size, sparsity) == floor
    assert counts.n_ones(size, sparsity, rounding="ceil") == ceil


@_settings
@hypothesis.given(st.integers(1, 10**8), st.floats(0, 1, exclude_max=True))
def test_n_ones_leaves_a_connection(size, sparsity):
    count = counts.n_ones(size, sparsity)
    assert count == oracle.n_ones(size, sparsity)
    assert 1 <= count <= size


@pytest.mark.parametrize("sparsity", [1.0, -0.1, 98, float("nan")])
def test_n_ones_rejects_a_sparsity_outside_its_range(sparsity):
    with pytest.raises(ValueError, match=r"`sparsity` must lie in \[0, 1\)"):
        counts.n_ones(10, sparsity)


def test_n_ones_rejects_an_unknown_rounding():
    with pytest.raises(ValueError, match="one of floor, ceil.*rounding='up'"):
        counts.n_ones(10, 0.5, rounding="up")


def test_patterns_that_decide_nothing_are_errors():
    shapes = {"conv1": (2, 2), "conv2": (2, 2)}
    custom = {"conv.*": 0.1, "conv1": 0.3}
    with pytest.raises(ValueError, match="'conv1' .matched by earlier"):
        distributions.uniform(shapes, 0.5, custom=custom)


def test_names_need_not_be_regular_expressions():
    shapes = {"k(1": (2, 2), "k2": (2, 2)}
    result = distributions.uniform(shapes, 0.5, custom={"k(1": 0.1})
    assert result == {"k(1": 0.1, "k2": 0.5}


@pytest.mark.parametrize(
    "alias, name", [("er", "erdos_renyi"), ("erk", "erdos_renyi_kernel")]
)
def test_distributions_have_short_names(alias, name):
    short, long = (
        masking.target_sparsities(tiny.convolutional(), 0.8, distribution)
        for distribution in (alias, name)
    )
    assert short == long
