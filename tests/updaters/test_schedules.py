"""Schedules and update windows."""

import math

import hypothesis
from hypothesis import strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf

from rigl_tf.updaters import schedules
from rigl_tf.updaters import update_times

BEGIN, END = 10, 40


def progress(step, begin=BEGIN, end=END):
    """Return the share of the decay that has passed, in float64."""
    return np.clip((step - begin) / (end - begin), 0.0, 1.0)


# Each schedule from BEGIN to END, and its formula in numpy.
CASES = {
    "constant": (schedules.Constant(0.3), lambda step: 0.3),
    "cosine": (
        schedules.Cosine(0.3, BEGIN, END),
        lambda step: 0.15 * (1 + np.cos(np.pi * progress(step))),
    ),
    "linear": (
        schedules.Linear(0.3, BEGIN, END),
        lambda step: 0.3 * (1 - progress(step)),
    ),
    "inverse_power": (
        schedules.InversePower(0.3, BEGIN, END),
        lambda step: 0.3 * (1 - progress(step)) ** 3,
    ),
    "inverse_power_1.5": (
        schedules.InversePower(1.0, BEGIN, END, power=1.5),
        lambda step: (1 - progress(step)) ** 1.5,
    ),
    "like_learning_rate": (
        schedules.LikeLearningRate(
            0.3, keras.optimizers.schedules.CosineDecay(0.05, 40, alpha=0.1)
        ),
        lambda step: (
            0.3
            * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * progress(step, 0, 40))))
        ),
    ),
}
DECAYS = (
    schedules.Cosine,
    schedules.Linear,
    schedules.InversePower,
)
DECAYING = pytest.mark.parametrize("schedule", DECAYS)
_settings = hypothesis.settings(
    deadline=None, max_examples=300, derandomize=True
)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("traced", [False, True])
def test_schedules_follow_their_formulas(name, traced):
    schedule, formula = CASES[name]
    function = tf.function(schedule) if traced else schedule
    for step in range(0, END + 20, 3):
        given = tf.constant(step, tf.int64) if traced else step
        value = function(given)
        assert value.dtype == tf.float32
        assert value.shape == ()
        assert float(value) == pytest.approx(formula(step), abs=1e-6)


@DECAYING
def test_decays_are_clipped_outside_their_range(schedule):
    fraction = schedule(0.3, BEGIN, END)
    for step in (0, BEGIN - 1, BEGIN):
        assert float(fraction(step)) == pytest.approx(0.3, abs=1e-7)
    for step in (END, END + 1, 10**12):
        assert float(fraction(tf.constant(step, tf.int64))) == 0.0


@DECAYING
@pytest.mark.parametrize("begin", [2**24, 2**25, 2**33])
def test_decays_resolve_single_steps_after_very_many(schedule, begin):
    # float32 holds no odd numbers above 2**24.
    fraction = schedule(0.5, begin, begin + 8)
    reference = schedule(0.5, 0, 8)
    for past in range(9):
        step = tf.constant(begin + past, tf.int64)
        assert float(fraction(step)) == float(reference(past))
    halfway = fraction(tf.constant(begin + 4, tf.int64))
    power = {schedules.InversePower: 3}.get(schedule, 1)
    assert float(halfway) == pytest.approx(0.5 * 0.5**power, abs=1e-6)


def test_the_ends_of_the_range_of_fractions_are_allowed():
    assert float(schedules.Constant(0.0)(5)) == 0.0
    assert float(schedules.Constant(1.0)(5)) == 1.0


def test_like_learning_rate_follows_drops_of_the_rate():
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        [10, 20], [0.1, 0.01, 0.001]
    )
    fraction = schedules.LikeLearningRate(0.3, rate)
    values = [float(fraction(step)) for step in (0, 10, 11, 20, 21)]
    assert values == pytest.approx([0.3, 0.3, 0.03, 0.03, 0.003])


@pytest.mark.parametrize("value", [-0.1, 1.3, 30, math.nan])
def test_fractions_outside_their_range_are_errors(value):
    rule = r"`drop_fraction` must lie in \[0, 1\]. Received: drop_fraction="
    for schedule in DECAYS:
        with pytest.raises(ValueError, match=rule):
            schedule(value, 0, 10)
    with pytest.raises(ValueError, match=rule):
        schedules.Constant(value)
    with pytest.raises(ValueError, match=rule):
        schedules.LikeLearningRate(value, lambda step: 0.1)


@DECAYING
def test_a_decay_without_an_end_is_an_error(schedule):
    with pytest.raises(ValueError, match="needs an end: set `update_end_step`"):
        schedule(0.3, 0, None)


@DECAYING
@pytest.mark.parametrize("end", [9, 10])
def test_an_end_that_is_not_after_the_begin_is_an_error(schedule, end):
    rule = f"must lie after `begin_step`.*begin_step=10, end_step={end}"
    with pytest.raises(ValueError, match=rule):
        schedule(0.3, 10, end)


@pytest.mark.parametrize("power", [0.0, -1.0, math.nan])
def test_a_power_that_is_not_positive_is_an_error(power):
    with pytest.raises(ValueError, match="`power` must be above 0. Received"):
        schedules.InversePower(0.3, 0, 10, power=power)


@st.composite
def _windows(draw):
    begin = draw(st.integers(0, 20))
    end = draw(st.none() | st.integers(begin, begin + 40))
    return draw(st.integers(1, 9)), begin, end


@_settings
@hypothesis.given(window=_windows(), step=st.integers(0, 80))
def test_windows_equal_a_list_of_their_steps(window, step):
    interval, begin, end = window
    stop = 200 if end is None else end
    due = [t for t in range(stop + 1) if t in range(begin, stop + 1, interval)]

    tested = update_times.UpdateWindow(interval, begin, end)

    later = [t for t in due if t >= step]
    assert tested.next_due(step) == (later[0] if later else None)


def test_a_window_includes_its_first_and_its_last_step():
    window = update_times.UpdateWindow(interval=100, begin=200, end=400)
    due = [step for step in range(0, 1000) if window.next_due(step) == step]
    assert due == [200, 300, 400]
    assert window.next_due(0) == 200
    assert window.next_due(201) == 300
    assert window.next_due(400) == 400
    assert window.next_due(401) is None


def test_a_window_without_an_end_never_stops():
    window = update_times.UpdateWindow(interval=100)
    assert window.next_due(10**12) == 10**12
    assert window.next_due(10**12 + 1) == 10**12 + 100


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((0,), "`update_interval` must be at least 1.*update_interval=0"),
        ((-5,), "`update_interval` must be at least 1.*update_interval=-5"),
        ((1, -1), "`update_begin_step` must be at least 0.*step=-1"),
        ((1, 8, 7), "`update_end_step` must not lie before.*8, .*step=7"),
        ((1, 0, -1), "`update_end_step` must be at least 0.*step=-1"),
    ],
)
def test_impossible_windows_are_errors(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        update_times.UpdateWindow(*arguments)


@pytest.mark.parametrize("arguments", [(2.5,), (True,), (1, 0.0), (1, 0, 9.5)])
def test_windows_count_in_whole_steps(arguments):
    with pytest.raises(TypeError, match="must be an integer. Received: update"):
        update_times.UpdateWindow(*arguments)


def test_a_learning_rate_that_begins_at_zero_is_refused():
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, 100, warmup_target=0.1, warmup_steps=10
    )
    with pytest.raises(ValueError, match=r"learning_rate\(0\).*above 0"):
        schedules.LikeLearningRate(0.3, rate)
