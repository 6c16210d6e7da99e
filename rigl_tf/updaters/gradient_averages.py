"""Averages and sums of dense gradients over several batches."""

import keras
import tensorflow as tf

from rigl_tf.updaters import protocol
from rigl_tf.updaters import state


class GradientAverages:
    """Exponential moving averages: `m <- beta m + (1 - beta) g` from zero.

    No bias correction. A step with a non-finite gradient changes nothing.

    Args:
        momentum: decay beta.
        name: name of the variables.
    """

    def __init__(self, momentum: float, name: str = "gradient_average"):
        self._momentum = momentum
        self._name = name
        self._averages: dict[str, keras.Variable] = {}

    def build(self, kernels: protocol.Kernels) -> None:
        """Create one average of zeros per kernel."""
        self._averages = {
            kernel.path: state.state_variable(
                tf.zeros_like(kernel.kernel.value), self._name
            )
            for kernel in kernels
        }

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the averages."""
        return {f"{p}/{self._name}": v for p, v in self._averages.items()}

    def update(
        self, kernels: protocol.Kernels, gradients: protocol.Gradients
    ) -> None:
        """Add the gradients of a step to the averages."""
        finite = state.all_finite(gradients)
        for kernel, gradient in zip(kernels, gradients):
            average = self._averages[kernel.path]
            old = average.value
            new = self._momentum * old + (1 - self._momentum) * gradient
            average.assign(tf.where(finite, new, old))

    def value(self, kernel: protocol.Kernel) -> tf.Tensor:
        """Return the average of a kernel."""
        return self._averages[kernel.path].value


class GradientSums:
    """Sums of the dense gradients of the last steps before an update.

    Args:
        n_batches: number of batches in a mean, including that of the update.
    """

    def __init__(self, n_batches: int):
        self._n_batches = n_batches
        self._sums: dict[str, keras.Variable] = {}
        self._count: keras.Variable = None  # until `build`

    def build(self, kernels: protocol.Kernels) -> None:
        """Create one sum of zeros per kernel, and their count."""
        self._sums = {
            kernel.path: state.state_variable(
                tf.zeros_like(kernel.kernel.value), "gradient_sum"
            )
            for kernel in kernels
        }
        self._count = state.state_variable(0.0, "gradient_count")

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the sums and their count."""
        named = {f"{p}/gradient_sum": v for p, v in self._sums.items()}
        return {**named, "gradient_count": self._count}

    def observe(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients,
        steps_to_go: tf.Tensor,
    ) -> None:
        """Add the gradients of a step, if the next update is near.

        Args:
            kernels: list of `kernel_masks.MaskedKernel`.
            gradients: list of dense gradients, one per kernel.
            steps_to_go: steps to the next update, scalar int64 tensor.
        """
        near = (steps_to_go < self._n_batches) & state.all_finite(gradients)

        def add():
            for kernel, gradient in zip(kernels, gradients):
                self._sums[kernel.path].assign_add(gradient)
            self._count.assign_add(1.0)
            return tf.constant(True)

        # `tf.cond` may assign these: each replica has its own variables.
        tf.cond(near, add, lambda: tf.constant(False))

    def means(
        self, kernels: protocol.Kernels, gradients: protocol.Gradients
    ) -> list[tf.Tensor]:
        """Return the means with the gradients of the update, and reset."""
        n_batches = self._count.value + 1.0
        means = []
        for kernel, gradient in zip(kernels, gradients):
            total = self._sums[kernel.path]
            means.append(
                (total.value + gradient) / tf.cast(n_batches, gradient.dtype)
            )
            total.assign(tf.zeros_like(total.value))
        self._count.assign(0.0)
        return means
