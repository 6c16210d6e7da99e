"""SNIP: one mask by saliency, before training."""

import dataclasses

import tensorflow as tf

from rigl_tf import checks
from rigl_tf import masks
from rigl_tf.updaters import base


@dataclasses.dataclass(kw_only=True)
class SNIP(base.MaskUpdater):
    """Choose the mask once, before training, by the saliency of connections.

    Drop: all but the largest |w dL/dw| on one batch, at step 0.
    Grow: never.
    First mask: dense; then the counts of the distribution, per kernel.
    Cost: 3 f_S per step (paper, appendix H).
    Hyper-parameters: none.
    Deviations: the gradient excludes L2 (the original code's includes it).
        `scope="global"` ranks over all kernels, as the SNIP paper does.
    Reference: Lee et al. 2019; as in Evci et al. 2020, table 1.

    Attributes:
        scope: "layer" or "global".
    """

    scope: str = "layer"

    updates_on_batch = True
    starts_dense = True

    def __post_init__(self):
        checks.one_of("scope", self.scope, ("layer", "global"))

    def next_update(self, step, last_update_step):
        """Return 0 until the mask has been chosen."""
        return 0 if step == 0 and last_update_step is None else None

    def update_flops(self, sparse, dense):
        """Return `3 f_D`: one batch of the dense network chooses the mask."""
        del sparse
        return 3 * dense

    def changes(self, kernels, gradients, step):
        """Keep the largest `|w g|`, per kernel or over all."""
        del step
        counts = [masks.n_ones(k.size, k.sparsity) for k in kernels]
        scores = [
            tf.abs(kernel.kernel.value * gradient)
            for kernel, gradient in zip(kernels, gradients)
        ]
        if self.scope == "layer":
            chosen = map(masks.top_k_mask, scores, counts)
        else:
            chosen = masks.global_top_k_masks(scores, sum(counts))
        return [base.MaskChange(m, tf.zeros_like(m, tf.bool)) for m in chosen]
