"""Top-KAST: compute with the largest weights, train a larger set."""

import dataclasses

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import protocol
from rigl_tf.updaters import state
from rigl_tf.updaters import straight_through


@dataclasses.dataclass(kw_only=True)
class TopKAST(straight_through.StraightThrough):
    """Compute with the largest weights, train some more of them.

    Drop: whatever leaves A, the largest |w| of all weights.
    Grow: whatever enters A. Weights in the larger set B get gradients, those
        outside B keep their values.
    First mask: the largest first weights, with the counts of the distribution.
    Cost: 2 f_A + f_B per step.
    Hyper-parameters: masks every 100 steps, without loss in the paper
        (section 2.4, appendix); B twice or more as dense as A.
    Deviations: optimizer slots outside B go on decaying. L2 as the exploration
        loss of section 2.3: wd/2 (|w_A|^2 + |w_(B - A)|^2 / D), D the density
        of A.
    Reference: Jayakumar et al. 2020, "Top-KAST: Top-K Always Sparse Training",
        section 2.

    Attributes:
        backward_ratio: sparsity of B over that of A, in [0, 1].
    """

    update_interval: int = 100
    backward_ratio: float = 0.9

    def __post_init__(self):
        super().__post_init__()
        checks.fraction("backward_ratio", self.backward_ratio)
        if self.refinement:
            raise ValueError(
                "Top-KAST penalises by `l2` alone, as the paper. Received: "
                f"refinement={self.refinement}"
            )
        self._backward = {}

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the dense weights and the sets B."""
        super().build(kernels)
        self._backward = {
            kernel.path: state.state_variable(
                tf.ones_like(kernel.mask.value), "backward_mask"
            )
            for kernel in kernels
        }

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the dense weights and the sets B."""
        backward = {f"{p}/backward_mask": v for p, v in self._backward.items()}
        return {**super().variables(), **backward}

    def step_flops(self, sparse: float, dense: float) -> float:
        """Return `2 f_A + f_B`."""
        backward = dense - self.backward_ratio * (dense - sparse)
        return 2 * sparse + backward

    def step_gradient(
        self, kernel: protocol.Kernel, gradient: tf.Tensor
    ) -> tf.Tensor:
        """Return the gradient within B."""
        gradient = super().step_gradient(kernel, gradient)
        backward = self._backward[kernel.path].value
        return gradient * tf.cast(backward, gradient.dtype)

    def trained_positions(self, kernel: protocol.Kernel) -> tf.Tensor | None:
        """Return B: elsewhere not even momentum moves a weight."""
        return self._backward[kernel.path].value

    def penalty_gradient(
        self, kernel: protocol.Kernel, l2: float
    ) -> tf.Tensor | None:
        """Return `wd w` in A, and `wd w / D` in the rest of B."""
        if not l2:
            return None
        dense = self._dense[kernel.path].value
        mask = tf.cast(kernel.mask.value, dense.dtype)
        backward = tf.cast(self._backward[kernel.path].value, dense.dtype)
        density = tf.maximum(tf.reduce_mean(mask), 1 / kernel.size)
        return l2 * dense * (mask + (backward - mask) / density)

    def changes(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients | None,
        step: tf.Tensor,
    ) -> list[protocol.MaskChange]:
        """Choose A and B anew by `|w|`."""
        for kernel in kernels:
            scores = tf.abs(self._dense[kernel.path].value)
            wider = self.backward_ratio * kernel.sparsity
            backward = self._backward[kernel.path]
            mask = kernel.fresh_mask(scores, wider)
            backward.assign(tf.cast(mask, backward.dtype))
        return super().changes(kernels, gradients, step)
