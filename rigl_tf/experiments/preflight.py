"""Try optimizers, schedules and labels before training begins.

Configurations can build them from arbitrary values. A mistake is reported in
one line here, and would otherwise raise in the first compiled step.
"""

from typing import Any

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf import updaters


def require_rate(optimizer: Any) -> None:
    """Raise ValueError unless the first learning rate is a number from 0.

    Args:
        optimizer: Keras optimizer.
    """
    try:
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    except Exception as error:
        raise ValueError(
            "`learning_rate` must be a number or a schedule of numbers. "
            f"Received: {optimizer.get_config()['learning_rate']}"
        ) from error
    checks.at_least("learning_rate", rate, 0)


def require_step(optimizer: Any) -> None:
    """Raise ValueError unless a copy of an optimizer can make a step.

    Args:
        optimizer: Keras optimizer.
    """
    try:
        copy = type(optimizer).from_config(optimizer.get_config())
        weight = keras.Variable([[0.0]])
        copy.build([weight])

        def step() -> None:
            copy.scale_loss(tf.constant(0.0))
            copy.apply([tf.constant([[0.0]])])

        # A concrete function, as TensorFlow warns of other functions that are
        # created in a loop, such as a sweep.
        tf.function(step, autograph=False).get_concrete_function()()
    except Exception as error:
        raise ValueError(
            "`optimizer` must be able to make a step. Received: one that "
            f"raises {type(error).__name__}: {error}"
        ) from error


def require_classes(experiment: Any, dataset: Any) -> None:
    """Raise ValueError if predictions are wanted that are no class per example.

    Args:
        experiment: the settings.
        dataset: the data set.
    """
    if not experiment.predictions:
        return
    _, labels, *_ = dataset.test(1).element_spec
    if labels.shape.rank != 1:
        raise ValueError(
            "`predictions` keeps one class per test example (PREDICTIONS). "
            f"Received: {dataset.name!r}, with labels of shape {labels.shape}"
        )


def require_drop_fraction(updater: updaters.MaskUpdater | None) -> None:
    """Raise ValueError unless the first drop fraction is a number.

    Args:
        updater: mask updater, or None for dense training.
    """
    schedule = getattr(updater, "drop_fraction", None)
    if not callable(schedule):
        return
    try:
        float(schedule(tf.constant(0, tf.int64)))
    except Exception as error:
        raise ValueError(
            "`drop_fraction` must be a number or a function of the step. "
            f"Received: {schedule} ({type(error).__name__}: {error})"
        ) from error
