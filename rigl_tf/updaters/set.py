"""SET: grow at random."""

import dataclasses

import tensorflow as tf

from rigl_tf.masks import draws
from rigl_tf.sparse import growth
from rigl_tf.updaters import drop_and_grow
from rigl_tf.updaters import protocol


@dataclasses.dataclass(kw_only=True)
class SET(drop_and_grow.DropAndGrow):
    """Drop the smallest weights, grow at random.

    Drop: the smallest |w| of the active connections.
    Grow: uniformly random among the positions outside the kept set.
    First mask: random, with the counts of the distribution.
    Cost: 3 f_S per step (paper, appendix H).
    Hyper-parameters: Delta T 100, alpha 0.3, cosine to T_end (paper, 4.1).
    Deviations: updates after steps Delta T, 2 Delta T, ...; the original code
        after 1, Delta T + 1, ...
    Reference: Mocanu et al. 2018; as in Evci et al. 2020, table 1.
    """

    def grow_scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Draw scores in [0, 1), equal on all replicas."""
        del gradient
        seed = draws.stateless_seed(self.seed, kernel.path, "grow", step)
        return draws.uniform_scores(kernel.kernel.shape, seed)

    def grow_sparse(
        self,
        kernel: protocol.SparseKernel,
        kept: tf.Tensor,
        n: tf.Tensor,
        pair: protocol.Pair,
        step: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draw the scores of `grow_scores` tile by tile."""
        del pair
        seed = draws.stateless_seed(self.seed, kernel.path, "grow", step)
        return growth.at_random(kernel.shape, kept, n, seed, kernel.block)
