"""Distribute the connections that an update grows among the kernels."""

import abc
from collections.abc import Sequence
import typing

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import gradient_averages
from rigl_tf.updaters import protocol
from rigl_tf.updaters import state

_CRITERIA = ("momentum", "gradient", "nonzero")


def get(updater: typing.Any) -> "Redistribution | None":
    """Return the redistribution that an updater asks for, or None.

    Args:
        updater: `DropAndGrow` with its fields `redistribution` and `momentum`.
    """
    criterion = updater.redistribution
    if criterion is None:
        return None
    checks.one_of("redistribution", criterion, _CRITERIA)
    if criterion == "momentum":
        return ByMomentum(updater.momentum)
    if criterion == "gradient":
        return ByGradient(updater.needs.batch)
    return ByNonzero()


class Redistribution(abc.ABC):
    """Give each kernel a share of the growth in proportion to a value."""

    observes_gradients = False

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the state."""
        del kernels

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the state variables."""
        return {}

    def observe(
        self, kernels: protocol.Kernels, gradients: protocol.Gradients
    ) -> None:
        """Take note of a step's dense gradients."""
        del kernels, gradients

    @abc.abstractmethod
    def value(
        self, kernel: protocol.Kernel, gradient: tf.Tensor | None
    ) -> tf.Tensor:
        """Return the value of the active weights of a kernel, a scalar."""

    def share_out(
        self,
        n_lost: Sequence[tf.Tensor],
        kernels: protocol.Kernels,
        kept: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor | None],
    ) -> list[tf.Tensor]:
        """Return how many connections each kernel grows.

        As many as it has lost while all values are zero: before the first step
        there are no averages.

        Args:
            n_lost: list of integer tensors: how many each has lost.
            kernels: list of `kernel_masks.MaskedKernel`.
            kept: list of the masks that are left of theirs.
            gradients: list of dense gradients, or of None.

        Returns:
            list of scalar int32 tensors; their sum is that of `n_lost`.
        """
        values = [
            tf.cast(self.value(kernel, gradient), tf.float64)
            for kernel, gradient in zip(kernels, gradients)
        ]
        rooms = [
            kernel.size - tf.reduce_sum(tf.cast(rest, tf.int32))
            for kernel, rest in zip(kernels, kept)
        ]
        lost = tf.stack([tf.reshape(n, []) for n in n_lost])
        values = tf.stack(values)
        shares = apportion(tf.reduce_sum(lost), values, tf.stack(rooms))
        return tf.unstack(tf.where(tf.reduce_any(values > 0), shares, lost))


class ByMomentum(Redistribution):
    """Mean |averaged gradient| of the active weights (Dettmers 2019, 3.2).

    Args:
        momentum: decay beta of the average.
    """

    observes_gradients = True

    def __init__(self, momentum: float):
        self._averages = gradient_averages.GradientAverages(
            momentum, "redistribution_average"
        )

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the averages."""
        self._averages.build(kernels)

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the averages."""
        return self._averages.variables()

    def observe(
        self, kernels: protocol.Kernels, gradients: protocol.Gradients
    ) -> None:
        """Update the averages, at active positions."""
        active = [
            tf.cast(k.mask.value, g.dtype) * g
            for k, g in zip(kernels, gradients)
        ]
        self._averages.update(kernels, active)

    def value(
        self, kernel: protocol.Kernel, gradient: tf.Tensor | None
    ) -> tf.Tensor:
        """Return the mean magnitude."""
        return _mean_active(kernel, self._averages.value(kernel))


class ByGradient(Redistribution):
    """Mean |gradient| of the active weights.

    Args:
        on_batch: whether updates bring gradients; else those of the last step
            are remembered.
    """

    def __init__(self, on_batch: bool):
        self.observes_gradients = not on_batch
        self._means: dict[str, keras.Variable] = {}

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the means, if updates bring no gradients."""
        if self.observes_gradients:
            self._means = {
                kernel.path: state.state_variable(0.0, "gradient_mean")
                for kernel in kernels
            }

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the means."""
        return {f"{p}/gradient_mean": v for p, v in self._means.items()}

    def observe(
        self, kernels: protocol.Kernels, gradients: protocol.Gradients
    ) -> None:
        """Remember the means of this step."""
        for kernel, gradient in zip(kernels, gradients):
            variable = self._means.get(kernel.path)
            if variable is not None:
                variable.assign(_mean_active(kernel, gradient))

    def value(
        self, kernel: protocol.Kernel, gradient: tf.Tensor | None
    ) -> tf.Tensor:
        """Return the mean magnitude."""
        if gradient is None:
            return self._means[kernel.path].value
        return _mean_active(kernel, gradient)


class ByNonzero(Redistribution):
    """Number of active weights that are not zero."""

    def value(
        self, kernel: protocol.Kernel, gradient: tf.Tensor | None
    ) -> tf.Tensor:
        """Count them."""
        return tf.math.count_nonzero(kernel.kernel.value)


def apportion(
    total: tf.Tensor, values: tf.Tensor, rooms: tf.Tensor
) -> tf.Tensor:
    """Split an integer in proportion to values, within rooms.

    Uses largest remainders (ties go to the earlier index); what exceeds the
    room of one entry is split among the others, again in proportion.

    Args:
        total: scalar integer tensor, at most the sum of `rooms`.
        values: [n] float64 tensor of non-negative values.
        rooms: [n] int32 tensor: the most that each can take.

    Returns:
        [n] int32 tensor; its sum is `total`.
    """
    total = tf.reshape(tf.cast(total, tf.int32), [])
    # If all values are zero, they count as equal.
    finite = tf.where(tf.math.is_finite(values), values, tf.zeros_like(values))
    values = tf.maximum(finite, tf.constant(1e-300, tf.float64))

    def split(shares):
        left = total - tf.reduce_sum(shares)
        weights = tf.where(shares < rooms, values, tf.zeros_like(values))
        quotas = tf.cast(left, tf.float64) * weights / tf.reduce_sum(weights)
        floors = tf.cast(tf.floor(quotas), tf.int32)
        rest = left - tf.reduce_sum(floors)
        remainders = tf.where(
            weights > 0, quotas - tf.floor(quotas), -tf.ones_like(quotas)
        )
        order = tf.argsort(remainders, direction="DESCENDING", stable=True)
        first = tf.argsort(order) < rest
        return tf.minimum(shares + floors + tf.cast(first, tf.int32), rooms)

    # Each round fills a kernel or ends.
    return tf.while_loop(
        lambda shares: tf.reduce_sum(shares) < total,
        lambda shares: [split(shares)],
        [tf.zeros_like(rooms)],
        maximum_iterations=values.shape[0],
    )[0]


def _mean_active(kernel, values):
    mask = kernel.mask.value
    total = tf.reduce_sum(tf.abs(tf.cast(mask, values.dtype) * values))
    count = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32)), 1)
    return tf.cast(total, tf.float32) / tf.cast(count, tf.float32)
