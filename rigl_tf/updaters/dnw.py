"""Discovering neural wirings: dense gradients to all weights."""

import dataclasses

import tensorflow as tf

from rigl_tf.updaters import protocol
from rigl_tf.updaters import straight_through


@dataclasses.dataclass(kw_only=True)
class DNW(straight_through.StraightThrough):
    """Train all weights; the largest ones are the edges of the network.

    Drop: weights that leave the top k by |w| of all weights, active or not.
    Grow: weights that enter it.
    First mask: the largest first weights, with the counts of the distribution.
    Cost: 2 f_S + f_D per step: every step needs dense gradients.
    Hyper-parameters: none; masks follow the weights after every step.
    Deviations: the kernels' L2 is left out, as in the original code of RigL.
    Reference: Wortsman et al. 2019, "Discovering Neural Wirings", section 2.2.
    """

    def penalty_gradient(
        self, kernel: protocol.Kernel, l2: float
    ) -> tf.Tensor | None:
        """Leave L2 out."""
        return super().penalty_gradient(kernel, 0.0)
