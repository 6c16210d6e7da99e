"""The base of methods that keep the best weights, per kernel or overall."""

from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks import counts
from rigl_tf.masks import patterns
from rigl_tf.masks import selection
from rigl_tf.updaters import base
from rigl_tf.updaters import protocol
from rigl_tf.updaters import state


@dataclasses.dataclass(kw_only=True)
class Ranking(base.MaskUpdater):
    """Base of methods that start dense and keep the best weights.

    Attributes:
        scope: "layer" gives each kernel the count of the distribution, "global"
            ranks the weights of all kernels together.
    """

    scope: str = "layer"

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(super().needs, dense_start=True)

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("scope", self.scope, ("layer", "global"))

    def check_pattern(self, pattern: patterns.Pattern) -> None:
        """Require single weights, if they are ranked over all kernels."""
        super().check_pattern(pattern)
        if self.scope == "global":
            state.require_unstructured(pattern, '`scope="global"`')

    def fresh_masks(
        self, kernels: protocol.Kernels, scores: Sequence[tf.Tensor]
    ) -> list[tf.Tensor]:
        """Keep the largest scores, as many as fresh masks have ones.

        Args:
            kernels: list of `kernel_masks.MaskedKernel`.
            scores: list of tensors shaped like the kernels.

        Returns:
            list of float32 masks.
        """
        if self.scope == "layer":
            return [k.fresh_mask(s) for k, s in zip(kernels, scores)]
        total = sum(counts.n_ones(k.size, k.sparsity) for k in kernels)
        return selection.global_top_k_masks(scores, total)
