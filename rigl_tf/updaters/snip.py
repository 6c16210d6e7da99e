"""SNIP: masks by connection sensitivity, before training."""

import dataclasses

import tensorflow as tf

from rigl_tf.updaters import choose_once
from rigl_tf.updaters import protocol


@dataclasses.dataclass(kw_only=True)
class SNIP(choose_once.ChooseOnce):
    """Choose the mask once, before training, by the saliency of connections.

    Drop: all but the largest |w dL/dw| on one batch, at step 0.
    Grow: never.
    First mask: dense; then the counts of the distribution, per kernel.
    Cost: 3 f_S per step (paper, appendix H), once 3 f_D.
    Hyper-parameters: none.
    Deviations: the gradient excludes L2 (the original code's includes it).
        `scope="global"` ranks over all kernels, as the SNIP paper does.
    Reference: Lee et al. 2019, "SNIP: Single-shot Network Pruning based on
        Connection Sensitivity"; as in Evci et al. 2020, table 1.
    """

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(super().needs, batch=True)

    def update_flops(self, sparse: float, dense: float) -> float:
        """Return `3 f_D`: one batch of the dense network chooses the mask."""
        del sparse
        return 3 * dense

    def scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Return `|w g|`."""
        del step
        return tf.abs(kernel.kernel.value * gradient)
