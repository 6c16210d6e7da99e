"""SNFS: grow by averaged dense gradients."""

import dataclasses

import keras
import tensorflow as tf

from rigl_tf.updaters import drop_and_grow
from rigl_tf.updaters import gradient_averages
from rigl_tf.updaters import protocol


@dataclasses.dataclass(kw_only=True)
class SNFS(drop_and_grow.DropAndGrow):
    """Drop the smallest weights, grow where averaged gradients are largest.

    Drop: the smallest |w| of the active connections.
    Grow: the largest |EMA(dL/dw)|: m <- beta m + (1 - beta) g from zero, every
        step, no bias correction, over the reduced dense gradient without L2.
    First mask: random, with the counts of the distribution.
    Cost: 2 f_S + f_D per step (paper, appendix H).
    Hyper-parameters: beta 0.9; Delta T and alpha as RigL (paper, 4.1).
    Deviations: redistribution across kernels is an option (`redistribution`),
        off as in the original code; the SNFS paper's is "momentum", its other
        details (a smaller drop rate for dense layers) are left out. A step with
        non-finite gradients leaves the average as it is.
    Reference: Dettmers & Zettlemoyer 2019, "Sparse Networks from Scratch",
        section 3; as in Evci et al. 2020, table 1.
    """

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(super().needs, step_gradients=True)

    def __post_init__(self):
        super().__post_init__()
        self._averages = gradient_averages.GradientAverages(self.momentum)

    def step_flops(self, sparse: float, dense: float) -> float:
        """Return `2 f_S + f_D`: every step needs dense gradients."""
        return 2 * sparse + dense

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the averages."""
        super().build(kernels)
        self._averages.build(kernels)

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the averages and other state."""
        return {**super().variables(), **self._averages.variables()}

    def observe(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients,
        step: tf.Tensor,
    ) -> None:
        """Update the averages."""
        super().observe(kernels, gradients, step)
        self._averages.update(kernels, gradients)

    def grow_scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Return the magnitude of the averaged gradient."""
        del gradient, step
        return tf.abs(self._averages.value(kernel))
