"""First weights of a sparse kernel: those of the dense one, never all drawn."""

from collections.abc import Callable
import math
import typing

import keras

_BY_SHAPE_ALONE = (
    keras.initializers.Constant,
    keras.initializers.Ones,
    keras.initializers.RandomNormal,
    keras.initializers.RandomUniform,
    keras.initializers.TruncatedNormal,
    keras.initializers.Zeros,
)
# Of a normal distribution that is cut at two standard deviations.
_TRUNCATED = 0.87962566103423978


def of(
    initializer: typing.Any, kernel_shape: tuple[int, int]
) -> Callable[..., typing.Any]:
    """Return an initializer of `[nnz]` with the distribution of a kernel.

    Each weight has the distribution that the initializer gives it in the dense
    kernel. The draws differ from those of the dense kernel.

    Args:
        initializer: Keras initializer.
        kernel_shape: numbers of inputs and outputs.

    Raises:
        ValueError: weights depend on each other, as in an orthogonal kernel.
    """
    if isinstance(initializer, keras.initializers.VarianceScaling):
        return _scaled(initializer, kernel_shape)
    if type(initializer) in _BY_SHAPE_ALONE:
        return initializer
    raise ValueError(
        "`kernel_initializer` must draw each weight for itself: a constant, "
        "random normal or uniform one, or one of the fan (Glorot, He, LeCun, "
        f"VarianceScaling). Received: {type(initializer).__name__}"
    )


def _scaled(initializer, kernel_shape):
    """Return the distribution of a `VarianceScaling` for given fans."""
    n_in, n_out = kernel_shape
    fans = {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / 2}
    variance = initializer.scale / max(1.0, fans[initializer.mode])
    seed = initializer.seed
    if initializer.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return keras.initializers.RandomUniform(-limit, limit, seed=seed)
    deviation = math.sqrt(variance)
    if initializer.distribution == "untruncated_normal":
        return keras.initializers.RandomNormal(stddev=deviation, seed=seed)
    return keras.initializers.TruncatedNormal(
        stddev=deviation / _TRUNCATED, seed=seed
    )
