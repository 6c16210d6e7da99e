"""SNFS: grow by averaged dense gradients."""

import dataclasses

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import base
from rigl_tf.updaters import drop_and_grow


@dataclasses.dataclass(kw_only=True)
class SNFS(drop_and_grow.DropAndGrow):
    """Drop the smallest weights, grow where averaged gradients are largest.

    Drop: the smallest |w| of the active connections.
    Grow: the largest |EMA(dL/dw)|: m <- beta m + (1 - beta) g from zero, every
        step, no bias correction, over the reduced dense gradient without L2.
    First mask: random, with the counts of the distribution.
    Cost: 2 f_S + f_D per step (paper, appendix H).
    Hyper-parameters: beta 0.9; Delta T and alpha as RigL (paper, 4.1).
    Deviations: no redistribution across layers, as the original code. A step
        with non-finite gradients leaves the average as it is.
    Reference: Dettmers & Zettlemoyer 2019; as in Evci et al. 2020, table 1.

    Attributes:
        momentum: decay beta of the average, in [0, 1).
    """

    momentum: float = 0.9

    observes_gradients = True

    def __post_init__(self):
        super().__post_init__()
        checks.fraction("momentum", self.momentum, include_one=False)
        self._averages = {}

    def step_flops(self, sparse, dense):
        """Return `2 f_S + f_D`: every step needs dense gradients."""
        return 2 * sparse + dense

    def build(self, kernels):
        """Create one average of zeros per kernel."""
        self._averages = {
            kernel.path: keras.Variable(
                keras.ops.zeros(kernel.kernel.shape, kernel.kernel.dtype),
                trainable=False,
                autocast=False,
                aggregation="none",
                name="gradient_average",
            )
            for kernel in kernels
        }

    def variables(self):
        """Map kernel paths to the averages."""
        return {
            f"{path}/gradient_average": average
            for path, average in self._averages.items()
        }

    def observe(self, kernels, gradients):
        """Update the averages: `m <- beta m + (1 - beta) g`."""
        finite = base.all_finite(gradients)
        for kernel, gradient in zip(kernels, gradients):
            average = self._averages[kernel.path]
            old = average.value
            new = self.momentum * old + (1 - self.momentum) * gradient
            average.assign(tf.where(finite, new, old))

    def grow_scores(self, kernel, gradient, step):
        """Return the magnitude of the averaged gradient."""
        del gradient, step
        return tf.abs(self._averages[kernel.path].value)
