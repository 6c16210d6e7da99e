"""MEST: drop by weight and gradient, grow at random."""

import dataclasses

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import protocol
from rigl_tf.updaters import set


@dataclasses.dataclass(kw_only=True)
class MEST(set.SET):
    """Drop the smallest weights with small gradients, grow at random.

    Drop: the smallest |w| + lambda |dL/dw| of the active connections.
    Grow: uniformly random among the positions outside the kept set.
    First mask: random, with the counts of the distribution.
    Cost: 3 f_S per step, and 3 f_S per update: only gradients of active
        weights are used.
    Hyper-parameters: lambda 1 by default, the paper gives none that fits all;
        Delta T and alpha as SET.
    Deviations: without Elastic Mutation's schedule and the soft memory bound
        (EM, EM&S); the gradient is that of a batch of the update's own.
    Reference: Yuan et al. 2021, "MEST: Accurate and Fast Memory-Economic
        Sparse Training Framework on the Edge", section 3.

    Attributes:
        gradient_weight: lambda, at least 0.
    """

    gradient_weight: float = 1.0

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(super().needs, batch=True)

    def __post_init__(self):
        super().__post_init__()
        checks.at_least("gradient_weight", self.gradient_weight, 0)

    def update_flops(self, sparse: float, dense: float) -> float:
        """Return `3 f_S`: the update's batch."""
        del dense
        return 3 * sparse

    def drop_scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Return `|w| + lambda |g|`."""
        scores = super().drop_scores(kernel, gradient, step)
        return scores + self.gradient_weight * tf.abs(gradient)
