"""Schedules of the drop fraction: functions from a step to a fraction.

A schedule is a function of the step t (optimizer steps completed; int or scalar
integer tensor) that returns a scalar float32 tensor. The schedules here can be
saved, as Keras' learning-rate schedules can.
"""

import abc
import collections.abc
import dataclasses
import math
import typing

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import serialization


class DropFraction(abc.ABC):
    """Base of the schedules: a dataclass that can be saved with its updater."""

    @abc.abstractmethod
    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the drop fraction after `step` steps, scalar float32."""

    def get_config(self) -> dict[str, typing.Any]:
        """Return the fields, as Keras' objects do."""
        return serialization.config_of(self)

    @classmethod
    def from_config(cls, config: dict[str, typing.Any]) -> typing.Self:
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

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
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
    before, 0 after. (The original code does not shift t by begin.)

    Attributes:
        value: initial drop fraction alpha, in [0, 1].
        begin_step: first step of the decay.
        end_step: step at which the fraction reaches 0, above `begin_step`.
    """

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
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

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
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

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the fraction after `step` steps."""
        return (
            tf.constant(self.value, tf.float32)
            * (1.0 - self._progress(step)) ** self.power
        )


@keras.saving.register_keras_serializable(package="rigl_tf")
@dataclasses.dataclass(frozen=True)
class LikeLearningRate(DropFraction):
    """`t -> alpha * learning_rate(t) / learning_rate(0)`.

    If the rate rises above its first value, as in a warm-up, so does the
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

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
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

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the fraction after `step` steps."""
        return self.schedule(tf.cast(step, tf.float32) / self.multiplier)
