"""Try what configurations may build of anything, before training begins."""

import keras
import tensorflow as tf

from rigl_tf import checks


def require_rate(optimizer):
    """Ask for the first learning rate: a schedule may be built of anything."""
    try:
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    except Exception as error:
        raise ValueError(
            "`learning_rate` must be a number or a schedule of numbers. "
            f"Received: {optimizer.get_config()['learning_rate']}"
        ) from error
    checks.at_least("learning_rate", rate, 0)


def require_step(optimizer):
    """Let a copy of an optimizer make a step: it may be built of anything."""
    try:
        copy = type(optimizer).from_config(optimizer.get_config())
        weight = keras.Variable([[0.0]])
        copy.build([weight])

        def step():
            copy.scale_loss(tf.constant(0.0))
            copy.apply([tf.constant([[0.0]])])

        # As a concrete function: TensorFlow warns of functions made in a loop,
        # as in a sweep, if they are called.
        tf.function(step, autograph=False).get_concrete_function()()
    except Exception as error:
        raise ValueError(
            "`optimizer` must be able to make a step. Received: one that "
            f"raises {type(error).__name__}: {error}"
        ) from error


def require_drop_fraction(updater):
    """Ask a schedule of drop fractions for its first value."""
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
