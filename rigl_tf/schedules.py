"""Schedules: step -> value.

A drop-fraction schedule is a function of the step t (optimizer steps
completed; int or scalar integer tensor) that returns a scalar float32 tensor.
`UpdateWindow` says at which steps masks are updated.
"""

import bisect
import collections.abc
import dataclasses
import itertools
import math

import tensorflow as tf

from rigl_tf import checks


def constant(value):
    """Return `t -> value`.

    Args:
        value: drop fraction alpha, in [0, 1].
    """
    checks.fraction("drop_fraction", value)
    return lambda step: tf.constant(value, tf.float32)


def cosine(value, begin_step, end_step):
    """Return `t -> alpha/2 * (1 + cos(pi * (t - begin) / (end - begin)))`.

    RigL paper, section 3, (2). Outside [begin, end] the value is clipped: alpha
    before, 0 after. (The original forgets to shift t by begin.)

    Args:
        value: initial drop fraction alpha, in [0, 1].
        begin_step: first step of the decay.
        end_step: step at which the fraction reaches 0, above `begin_step`.
    """
    progress = _progress(value, begin_step, end_step)
    return lambda step: (
        tf.constant(value / 2, tf.float32)
        * (1.0 + tf.cos(math.pi * progress(step)))
    )


def inverse_power(value, begin_step, end_step, power=3.0):
    """Return `t -> alpha * (1 - (t - begin) / (end - begin))^power`, clipped.

    RigL paper, appendix (inverse power annealing); the original code calls it
    `exponential_<power>`.

    Arguments as those of `cosine`; `power` is the exponent, above 0.
    """
    checks.above("power", power, 0)
    progress = _progress(value, begin_step, end_step)
    return lambda step: (
        tf.constant(value, tf.float32) * (1.0 - progress(step)) ** power
    )


def linear(value, begin_step, end_step):
    """Return `t -> alpha * (1 - (t - begin) / (end - begin))`, clipped."""
    return inverse_power(value, begin_step, end_step, power=1.0)


def like_learning_rate(value, learning_rate):
    """Return `t -> alpha * learning_rate(t) / learning_rate(0)`.

    Where the rate rises above its first value, as in a warm-up, so does the
    fraction; updates clip it to 1.

    Args:
        value: initial drop fraction alpha, in [0, 1].
        learning_rate: schedule, a function of the step, positive at step 0.
    """
    checks.fraction("drop_fraction", value)
    checks.above("learning_rate(0)", float(learning_rate(0)), 0)

    def fraction(step):
        rate, first = learning_rate(step), learning_rate(0)
        return tf.cast(value * rate / first, tf.float32)

    return fraction


@dataclasses.dataclass(frozen=True)
class UpdateWindow:
    """Steps at which masks are updated.

    Due at t if `begin <= t <= end` and `(t - begin) % interval == 0`.

    Attributes:
        interval: steps between two updates (Delta T), at least 1.
        begin: first step, at least 0.
        end: last step, inclusive (T_end); None never stops.
    """

    interval: int
    begin: int = 0
    end: int | None = None

    def __post_init__(self):
        checks.at_least("update_interval", self.interval, 1, integer=True)
        checks.at_least("update_begin_step", self.begin, 0, integer=True)
        if self.end is not None:
            checks.at_least("update_end_step", self.end, 0, integer=True)
        if self.end is not None and self.end < self.begin:
            raise ValueError(
                "`update_end_step` must not lie before `update_begin_step` "
                "(None never stops). Received: "
                f"update_begin_step={self.begin}, update_end_step={self.end}"
            )

    def next_due(self, step):
        """Return the first due step at or after `step`, or None."""
        past = max(step - self.begin, 0)
        due = self.begin + -(-past // self.interval) * self.interval
        return None if self.end is not None and due > self.end else due

    def next_after(self, step, last):
        """Return the first due step from `step` on that is not `last`."""
        return self.next_due(step + (step == last))

    def last_due(self, step):
        """Return the last due step up to `step`, or None."""
        step = step if self.end is None else min(step, self.end)
        past = step - self.begin
        return None if past < 0 else step - past % self.interval

    def steps_to_go(self, step):
        """Return the steps from `step` (tensor) to the next update after it."""
        past = tf.cast(step, tf.int64) - self.begin
        within = self.interval - past % self.interval
        to_go = tf.where(past < 0, -past, within)
        if self.end is None:
            return to_go
        over = past + self.begin + to_go > self.end
        return tf.where(over, tf.constant(tf.int64.max), to_go)


@dataclasses.dataclass(frozen=True)
class UpdateSteps:
    """Steps at which masks are updated, one by one.

    Attributes:
        steps: increasing steps, at least one.
        begin: none lies before it.
        end: none lies after it; None for no end.
    """

    steps: collections.abc.Sequence
    begin: int = 0
    end: int | None = None

    def __post_init__(self):
        if not isinstance(self.steps, collections.abc.Sequence):
            raise TypeError(
                "`update_steps` must be a list of steps, or None. Received: "
                f"update_steps={self.steps!r}"
            )
        for step in self.steps:
            checks.at_least("update_steps", step, self.begin, integer=True)
        if not self.steps or any(
            after <= before for before, after in itertools.pairwise(self.steps)
        ):
            raise ValueError(
                "`update_steps` must be steps in increasing order, at least "
                f"one. Received: update_steps={self.steps!r}"
            )
        if self.end is not None and self.steps[-1] > self.end:
            raise ValueError(
                "`update_steps` must not lie after `update_end_step`. "
                f"Received: {self.steps[-1]} > {self.end}"
            )

    def next_due(self, step):
        """Return the first due step at or after `step`, or None."""
        index = bisect.bisect_left(self.steps, step)
        return self.steps[index] if index < len(self.steps) else None

    def steps_to_go(self, step):
        """Return the steps from `step` (tensor) to the next update after it."""
        ahead = tf.constant(self.steps, tf.int64) - tf.cast(step, tf.int64)
        never = tf.constant(tf.int64.max)
        return tf.reduce_min(tf.where(ahead > 0, ahead, never))


def _progress(value, begin_step, end_step):
    """Return `t -> (t - begin) / (end - begin)`, clipped to [0, 1]."""
    checks.fraction("drop_fraction", value)
    if end_step is None:
        raise ValueError(
            "A decaying drop fraction needs an end: set `update_end_step`, or "
            "use `schedules.constant`. Received: end_step=None"
        )
    if not end_step > begin_step:
        raise ValueError(
            "`end_step` must lie after `begin_step`. Received: "
            f"begin_step={begin_step}, end_step={end_step}"
        )

    def progress(step):
        # Subtract before casting: float32 holds no steps above 2**24.
        past = tf.cast(tf.cast(step, tf.int64) - begin_step, tf.float32)
        return tf.clip_by_value(past / float(end_step - begin_step), 0.0, 1.0)

    return progress
