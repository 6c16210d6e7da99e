"""Schedules: step -> value.

A drop-fraction schedule is a function of the step t (optimizer steps
completed; int or scalar integer tensor) that returns a scalar float32 tensor;
those here can be saved, as Keras' learning-rate schedules can. `UpdateWindow`
says at which steps masks are updated.
"""

import abc
import bisect
import collections.abc
import dataclasses
import itertools
import math

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf import serialization


class DropFraction(abc.ABC):
    """Base of the schedules: a dataclass that can be saved with its updater."""

    @abc.abstractmethod
    def __call__(self, step):
        """Return the drop fraction after `step` steps, scalar float32."""

    def get_config(self):
        """Return the fields, as Keras' objects do."""
        return serialization.config_of(self)

    @classmethod
    def from_config(cls, config):
        """Build a schedule from `get_config`'s dictionary."""
        return serialization.from_config(cls, config)


@keras.saving.register_keras_serializable(package="rigl_tf")
@dataclasses.dataclass(frozen=True)
class Constant(DropFraction):
    """The same fraction at every step: `t -> alpha`.

    Attributes:
        value: drop fraction alpha, in [0, 1].
    """

    value: float

    def __post_init__(self):
        checks.fraction("drop_fraction", self.value)

    def __call__(self, step):
        """Return alpha."""
        return tf.constant(self.value, tf.float32)


@dataclasses.dataclass(frozen=True)
class _Decay(DropFraction):
    """Base of the schedules that decay from a first step to a last one.

    Attributes:
        value: initial drop fraction alpha, in [0, 1].
        begin_step: first step of the decay.
        end_step: step at which the fraction reaches 0, above `begin_step`.
    """

    value: float
    begin_step: int
    end_step: int

    def __post_init__(self):
        checks.fraction("drop_fraction", self.value)
        if self.end_step is None:
            raise ValueError(
                "A decaying drop fraction needs an end: set `update_end_step`, "
                "or use `schedules.Constant`. Received: end_step=None"
            )
        if not self.end_step > self.begin_step:
            raise ValueError(
                "`end_step` must lie after `begin_step`. Received: "
                f"begin_step={self.begin_step}, end_step={self.end_step}"
            )

    def _progress(self, step):
        """Return `(t - begin) / (end - begin)`, clipped to [0, 1]."""
        length = float(self.end_step - self.begin_step)
        # Subtract before casting: float32 holds no steps above 2**24.
        past = tf.cast(tf.cast(step, tf.int64) - self.begin_step, tf.float32)
        return tf.clip_by_value(past / length, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="rigl_tf")
@dataclasses.dataclass(frozen=True)
class Cosine(_Decay):
    """`t -> alpha/2 * (1 + cos(pi * (t - begin) / (end - begin)))`.

    RigL paper, section 3, (2). Outside [begin, end] the value is clipped: alpha
    before, 0 after. (The original forgets to shift t by begin.)

    Attributes:
        value: initial drop fraction alpha, in [0, 1].
        begin_step: first step of the decay.
        end_step: step at which the fraction reaches 0, above `begin_step`.
    """

    def __call__(self, step):
        """Return the fraction after `step` steps."""
        return tf.constant(self.value / 2, tf.float32) * (
            1.0 + tf.cos(math.pi * self._progress(step))
        )


@keras.saving.register_keras_serializable(package="rigl_tf")
@dataclasses.dataclass(frozen=True)
class Linear(_Decay):
    """`t -> alpha * (1 - (t - begin) / (end - begin))`, clipped.

    Attributes:
        value: initial drop fraction alpha, in [0, 1].
        begin_step: first step of the decay.
        end_step: step at which the fraction reaches 0, above `begin_step`.
    """

    def __call__(self, step):
        """Return the fraction after `step` steps."""
        return tf.constant(self.value, tf.float32) * (
            1.0 - self._progress(step)
        )


@keras.saving.register_keras_serializable(package="rigl_tf")
@dataclasses.dataclass(frozen=True)
class InversePower(_Decay):
    """`t -> alpha * (1 - (t - begin) / (end - begin))^power`, clipped.

    RigL paper, appendix (inverse power annealing); the original code calls it
    `exponential_<power>`.

    Attributes:
        value: initial drop fraction alpha, in [0, 1].
        begin_step: first step of the decay.
        end_step: step at which the fraction reaches 0, above `begin_step`.
        power: exponent, above 0.
    """

    power: float = 3.0

    def __post_init__(self):
        super().__post_init__()
        checks.above("power", self.power, 0)

    def __call__(self, step):
        """Return the fraction after `step` steps."""
        return (
            tf.constant(self.value, tf.float32)
            * (1.0 - self._progress(step)) ** self.power
        )


@keras.saving.register_keras_serializable(package="rigl_tf")
@dataclasses.dataclass(frozen=True)
class LikeLearningRate(DropFraction):
    """`t -> alpha * learning_rate(t) / learning_rate(0)`.

    Where the rate rises above its first value, as in a warm-up, so does the
    fraction; updates clip it to 1.

    Attributes:
        value: initial drop fraction alpha, in [0, 1].
        learning_rate: schedule, a function of the step, positive at step 0.
    """

    value: float
    learning_rate: collections.abc.Callable

    def __post_init__(self):
        checks.fraction("drop_fraction", self.value)
        checks.above("learning_rate(0)", float(self.learning_rate(0)), 0)

    def __call__(self, step):
        """Return the fraction after `step` steps."""
        rate, first = self.learning_rate(step), self.learning_rate(0)
        return tf.cast(self.value * rate / first, tf.float32)


@keras.saving.register_keras_serializable(package="rigl_tf")
@dataclasses.dataclass(frozen=True)
class Stretched(DropFraction):
    """`t -> schedule(t / m)`: a schedule for a run m times as long.

    Attributes:
        schedule: function of the step.
        multiplier: m, above 0.
    """

    schedule: collections.abc.Callable
    multiplier: float

    def __call__(self, step):
        """Return the fraction after `step` steps."""
        return self.schedule(tf.cast(step, tf.float32) / self.multiplier)


class UnknownWindow:
    """Steps that are fractions of a run whose length is not known yet.

    Stands for window and drop-fraction schedule until `MaskUpdater.resolved`
    is given the length; any use before is an error.
    """

    def __call__(self, step):
        """Raise ValueError, whatever the step."""
        return self.steps(step)

    def __getattr__(self, name):
        if name.startswith("__"):  # copying and pickling look for these
            raise AttributeError(name)
        raise ValueError(
            "A window of mask updates that is a fraction of the run "
            "(`update_end_step=0.75`, the default) needs the length of the "
            "run. `SparseModel.fit` and `SparseTrainer.train` know it; in a "
            "loop of your own set `update_end_step` in steps, or call "
            "`steps.plan(n_steps)` first. Received: no length"
        )


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
