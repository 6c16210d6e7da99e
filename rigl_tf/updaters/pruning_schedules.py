"""How much is pruned when: schedules of tensorflow-model-optimization."""

from collections.abc import Callable
import functools
import os
import warnings

import tensorflow as tf

from rigl_tf import checks

_LEGACY = "TF_USE_LEGACY_KERAS"


def polynomial(
    begin_step: int, end_step: int, interval: int, power: float = 3.0
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return `t -> 1 - (1 - (t - t_0) / (t_n - t_0))^p`, clipped.

    The share of the final zeros that are in place, from 0 at t_0: s_t / s_f of
    Zhu & Gupta 2018, equation 1, with s_i = 0.

    Args:
        begin_step: t_0.
        end_step: t_n, after t_0.
        interval: steps between two prunings, at least 1.
        power: p, above 0.

    Raises:
        ValueError: an argument is out of range.
    """
    checks.above("power", power, 0)
    if end_step is None or end_step <= begin_step:
        raise ValueError(
            "Gradual pruning needs an end at least one interval after its "
            "begin: set `update_end_step` (PRUNE_END_STEP), or a smaller "
            "`update_interval` (PRUNE_INTERVAL). Received: "
            f"update_begin_step={begin_step}, update_end_step={end_step}, "
            f"update_interval={interval}"
        )
    if (end_step - begin_step) % interval:
        raise ValueError(
            "Gradual pruning must end with a pruning: `update_end_step` must "
            "lie a whole number of intervals after `update_begin_step` "
            "(PRUNE_END_STEP, PRUNE_BEGIN_STEP, PRUNE_INTERVAL). Received: "
            f"{begin_step} to {end_step}, every {interval}"
        )
    # It takes final sparsities below 1 only: half the share, then.
    schedule = _tfmot().PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=0.5,
        begin_step=begin_step,
        end_step=end_step,
        power=power,
        frequency=interval,
    )
    return lambda step: 2 * schedule(tf.cast(step, tf.int64))[1]


def constant(
    begin_step: int, interval: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return `t -> 1`: all is pruned at once.

    Args: as `polynomial`.
    """
    schedule = _tfmot().ConstantSparsity(0.5, begin_step, frequency=interval)
    return lambda step: 2 * schedule(tf.cast(step, tf.int64))[1]


@functools.cache
def _tfmot():
    """Import the schedules without changing the Keras backend of the process.

    The import asks for Keras 2 in the environment, and if `tf.keras` has not
    been touched before, it becomes Keras 2 for the whole process.
    """
    tf.keras.Model  # noqa: B018
    before = os.environ.get(_LEGACY)
    try:
        with warnings.catch_warnings():
            # It asks an old module for its own version.
            warnings.simplefilter("ignore", DeprecationWarning)
            from tensorflow_model_optimization.sparsity import keras as tfmot
    finally:
        os.environ.pop(_LEGACY, None)
        if before is not None:
            os.environ[_LEGACY] = before
    return tfmot
