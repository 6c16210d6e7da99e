"""Initializers for the weights of sparse networks.

A dense initializer chooses the variance of a weight by the number of inputs of
its unit. If most inputs are inactive, signals shrink from layer to layer; these
initializers count active inputs. Draws are stateless: they depend only on the
seed and the path of the kernel.
"""

import abc
from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
import math
from typing import Literal
from typing import get_args

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.layers import kernel_masks
from rigl_tf.masks import draws as mask_draws

_Mode = Literal["fan_in", "fan_out", "fan_avg"]
_Distribution = Literal["normal", "uniform"]
# `(mask, seed) -> weights`.
Initializer = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Scaled(abc.ABC):
    mode: _Mode = "fan_in"
    distribution: _Distribution = "normal"
    scale: float = 2.0

    def __post_init__(self):
        checks.one_of("mode", self.mode, get_args(_Mode))
        checks.one_of(
            "distribution", self.distribution, get_args(_Distribution)
        )
        checks.above("scale", self.scale, 0)

    def __call__(self, mask: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Draw weights for a mask; inactive weights are zero.

        Args:
            mask: float tensor of zeros and ones.
            seed: `[2]` integer seed, see `masks.draws.stateless_seed`.

        Returns:
            A float32 tensor shaped like `mask`.
        """
        mask = tf.cast(mask, tf.float32)
        if self.distribution == "normal":
            values = mask_draws.normal_values(mask.shape, seed)
        else:  # of variance 1
            draws = mask_draws.uniform_scores(mask.shape, seed)
            values = math.sqrt(3) * (2 * draws - 1)
        fan = {
            "fan_in": self.fan_in,
            "fan_out": self.fan_out,
            "fan_avg": lambda m: (self.fan_in(m) + self.fan_out(m)) / 2,
        }[self.mode](mask)
        return mask * values * tf.sqrt(self.scale / tf.maximum(fan, 1.0))

    @abc.abstractmethod
    def fan_in(self, mask: tf.Tensor) -> tf.Tensor:
        """Return the number of inputs that counts for each weight."""

    @abc.abstractmethod
    def fan_out(self, mask: tf.Tensor) -> tf.Tensor:
        """Return the number of outputs that counts for each weight."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitScaled(_Scaled):
    """Draw each weight with the variance `scale / fan` of its own unit.

    The fan-in of a weight is the number of active inputs of its output unit
    (over all positions of a convolution); the fan-out is the number of active
    outputs of its input unit.

    Attributes:
        mode: "fan_in" (default), "fan_out" or "fan_avg", their mean.
        distribution: "normal" (default, not truncated) or "uniform".
        scale: 2 (default) suits ReLU.

    Reference: Evci et al. 2022, "Gradient Flow in Sparse Neural Networks and
    How Lottery Tickets Win", section 3.1, equation 3.
    """

    def fan_in(self, mask: tf.Tensor) -> tf.Tensor:
        """Count the active inputs of the output unit."""
        axes = list(range(len(mask.shape) - 1))
        return tf.reduce_sum(mask, axes, keepdims=True)

    def fan_out(self, mask: tf.Tensor) -> tf.Tensor:
        """Count the active outputs of the input unit."""
        axes = [a for a in range(len(mask.shape)) if a != len(mask.shape) - 2]
        return tf.reduce_sum(mask, axes, keepdims=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerScaled(_Scaled):
    """Draw all weights of a kernel with the variance `scale / (fan d)`.

    The fans are those of the dense kernel, and d is its density: the variance
    is the same for all units, and right on average.

    See `UnitScaled` for the attributes.

    Reference: Liu et al. 2019, "Rethinking the Value of Network Pruning"; as in
    Evci et al. 2022.
    """

    def fan_in(self, mask: tf.Tensor) -> tf.Tensor:
        """Return the mean number of active inputs."""
        size = math.prod(mask.shape[:-1])
        return size * tf.reduce_mean(mask)

    def fan_out(self, mask: tf.Tensor) -> tf.Tensor:
        """Return the mean number of active outputs."""
        size = math.prod(mask.shape) / mask.shape[-2]
        return size * tf.reduce_mean(mask)


BY_NAME: dict[str, Initializer] = {
    "unit_scaled": UnitScaled(),
    "layer_scaled": LayerScaled(),
}


def get(initializer: str | Initializer) -> Initializer:
    """Return an initializer from its name, or the function given.

    Args:
        initializer: "unit_scaled", "layer_scaled", or a function
            `(mask, seed) -> weights`.

    Raises:
        ValueError: if there is no initializer of this name.
    """
    if callable(initializer):
        return initializer
    checks.one_of("sparse_init", initializer, tuple(BY_NAME))
    return BY_NAME[initializer]


def initialize(
    kernels: Iterable[kernel_masks.MaskedKernel],
    initializer: str | Initializer,
    seed: int = 0,
) -> None:
    """Draw new initial weights for masked kernels.

    Args:
        kernels: list of `kernel_masks.MaskedKernel`.
        initializer: "unit_scaled", "layer_scaled", or a function
            `(mask, seed) -> weights`.
        seed: seed of the draws.
    """
    draw = get(initializer)
    for item in kernels:
        mask = tf.cast(item.mask.value, item.kernel.dtype)
        values = draw(mask, mask_draws.stateless_seed(seed, item.path, "init"))
        item.kernel.assign(tf.cast(values, item.kernel.dtype))
