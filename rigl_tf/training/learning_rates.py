"""Learning-rate schedules, for Keras' optimizers."""

from collections.abc import Sequence
import typing

import keras
import tensorflow as tf

from rigl_tf import checks


@keras.saving.register_keras_serializable(package="rigl_tf")
class Stepwise(keras.optimizers.schedules.LearningRateSchedule):
    """A piecewise constant rate with an optional linear warm-up.

    `rate(t) = peak * factors[i]` for the last i with `begins[i] <= t / unit`;
    before that, and times `t / (unit * warm_up)`, during a linear warm-up.

    Args:
        peak: rate that the factors multiply, above 0.
        factors: one per phase, at least 0.
        begins: where the phases begin, increasing, the first at 0 [units].
        warm_up: length of a linear warm-up from 0 [units].
        unit: what `begins` and `warm_up` are measured in [steps], above 0;
            `steps_per_epoch` for epochs.
    """

    def __init__(
        self,
        peak: float,
        factors: Sequence[float],
        begins: Sequence[float],
        warm_up: float = 0,
        unit: float = 1,
    ):
        checks.above("peak", peak, 0)
        checks.at_least("warm_up", warm_up, 0)
        checks.above("unit", unit, 0)
        for factor in factors:
            checks.at_least("factors", factor, 0)
        begins = list(begins)
        if len(factors) != len(begins) or begins != sorted(set(begins)):
            raise ValueError(
                "`begins` must increase, one for each of `factors`. Received: "
                f"factors={factors}, begins={begins}"
            )
        if not begins or begins[0] != 0:
            raise ValueError(
                f"`begins` must start with 0. Received: begins={begins}"
            )
        self._config = {
            "peak": peak,
            "factors": list(factors),
            "begins": begins,
            "warm_up": warm_up,
            "unit": unit,
        }

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the rate after `step` steps, float32."""
        config: dict[str, typing.Any] = self._config
        time = tf.cast(step, tf.float32) / config["unit"]
        rate = tf.constant(0.0)
        for factor, begin in zip(config["factors"], config["begins"]):
            rate = tf.where(time >= begin, config["peak"] * factor, rate)
        if config["warm_up"]:
            rate *= tf.minimum(time / config["warm_up"], 1.0)
        return rate

    def get_config(self) -> dict[str, typing.Any]:
        """Return the arguments."""
        return self._config


@keras.saving.register_keras_serializable(package="rigl_tf")
class Stretched(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule slowed down by a factor: `rate(t / m)`.

    Args:
        schedule: Keras learning rate schedule.
        multiplier: m, above 0.
    """

    def __init__(
        self,
        schedule: keras.optimizers.schedules.LearningRateSchedule,
        multiplier: float,
    ):
        checks.above("multiplier", multiplier, 0)
        self._schedule = schedule
        self._multiplier = multiplier

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the rate after `step` steps."""
        return self._schedule(tf.cast(step, tf.float32) / self._multiplier)

    def get_config(self) -> dict[str, typing.Any]:
        """Return the arguments."""
        schedule = keras.optimizers.schedules.serialize(self._schedule)
        return {"schedule": schedule, "multiplier": self._multiplier}

    @classmethod
    def from_config(cls, config: dict[str, typing.Any]) -> typing.Self:
        """Return the schedule of a configuration."""
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["multiplier"])


def linear_scaling(
    batch_size: int, rate: float = 0.1, reference: int = 256
) -> float:
    """Return `rate * batch_size / reference` (Goyal et al. 2017).

    Args:
        batch_size: examples in a global batch.
        rate: learning rate for the reference batch, above 0.
        reference: examples in the reference batch, at least 1.
    """
    checks.at_least("batch_size", batch_size, 1, integer=True)
    checks.above("rate", rate, 0)
    checks.at_least("reference", reference, 1, integer=True)
    return rate * batch_size / reference


def steps_per_epoch(n_examples: int, batch_size: int) -> float:
    """Return the length of an epoch in steps, with its fraction.

    Args:
        n_examples: training examples, at least 1.
        batch_size: examples in a global batch.
    """
    checks.at_least("n_examples", n_examples, 1, integer=True)
    checks.at_least("batch_size", batch_size, 1, integer=True)
    return n_examples / batch_size


def stretch(optimizer: keras.optimizers.Optimizer, multiplier: float) -> None:
    """Stretch the learning rate schedule of an optimizer, if it has one.

    Args:
        optimizer: Keras optimizer, not yet built.
        multiplier: see `Stretched`; 1 leaves every bit as it is.
    """
    schedule = optimizer.get_config()["learning_rate"]
    if multiplier != 1 and isinstance(schedule, dict):
        schedule = keras.optimizers.schedules.deserialize(schedule)
        optimizer.learning_rate = Stretched(schedule, multiplier)
