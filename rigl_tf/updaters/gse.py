"""GSE: grow by the gradients of a random sample."""

import dataclasses
import math

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks import draws
from rigl_tf.masks import selection
from rigl_tf.sparse import candidates
from rigl_tf.updaters import grow_by_gradients
from rigl_tf.updaters import protocol


@dataclasses.dataclass(kw_only=True)
class GSE(grow_by_gradients.GrowByGradients):
    """Drop the smallest weights, grow by gradients of a random sample.

    Drop: the smallest |w| of the active connections.
    Grow: the largest |dL/dw| of ceil(gamma n) candidates, drawn uniformly from
        the positions outside the kept set, each once; n is the number of
        active connections of the kernel, or of each group of a pattern.
    First mask: random, with the counts of the distribution.
    Cost: (3 f_S Delta T + (2 + gamma) f_S) / (Delta T + 1) per step: an update
        needs the gradients of the candidates alone. With masks, dense ones are
        computed nevertheless.
    Hyper-parameters: gamma 1, as the original code's experiments; Delta T and
        alpha as RigL (the original code: 1000 and 0.2).
    Deviations: uniform candidates, without the paper's distributions GraBo and
        GraEst. They are distinct and free, where the original code draws with
        repetition from all positions, and of an update that finds too few,
        grows fewer. It grows before it drops, so that what it drops cannot
        return at once; here it may, as with RigL. It ranks the connections of
        all layers together. Updates of gamma n below the number dropped draw as
        many as were dropped.
    Reference: Heddes et al. 2024, "Always-Sparse Training by Growing
        Connections with Guided Stochastic Exploration".

    Attributes:
        gamma: candidates of an update in multiples of the active connections,
            above 0.
    """

    gamma: float = 1.0

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(super().needs, batch=True)

    def __post_init__(self):
        super().__post_init__()
        checks.above("gamma", self.gamma, 0)

    def update_flops(self, sparse: float, dense: float) -> float:
        """Return `(2 + gamma) f_S`, at most `2 f_S + f_D`: the update's batch.

        Activations, their gradients, and the gradients of the candidates.
        """
        return 2 * sparse + min(self.gamma * sparse, dense)

    def grow_sparse(
        self,
        kernel: protocol.SparseKernel,
        kept: tf.Tensor,
        n: tf.Tensor,
        pair: protocol.Pair,
        step: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute the dense gradient `X^T G` at the candidates alone."""
        size = math.prod(kernel.grid)
        n_drawn = self._n_candidates(kernel.layer.n_active, size)
        n_drawn = tf.maximum(tf.cast(n_drawn, tf.int64), n)
        seed = self._seed(kernel, step)
        drawn = candidates.draw(size, kept, n_drawn, seed)
        if pair is None:
            scores = tf.zeros(tf.shape(drawn))
        else:
            scores = tf.abs(candidates.gradients(*pair, drawn, kernel.block))
            if kernel.block > 1:
                scores = tf.reduce_sum(scores, [1, 2])
        best = selection.largest(scores, n)
        return tf.boolean_mask(drawn, best), tf.boolean_mask(scores, best)

    def _grow(self, kernel, kept, gradient, n_units, step):
        """Grow the best candidates of each group."""
        mask, pattern = kernel.mask.value, kernel.pattern
        n_active = pattern.counts(mask)
        n_drawn = self._n_candidates(n_active, kernel.size)
        free = pattern.sample_free(
            kept, tf.maximum(n_drawn, n_units), self._seed(kernel, step)
        )
        scores = self.grow_scores(kernel, gradient, step)
        scores = tf.where(free, scores, -tf.ones_like(scores))
        mask, grown = pattern.grow(mask, kept, scores, n_units)
        values = self._grow_values(kernel, gradient, step)
        return protocol.MaskChange(mask, grown, values)

    def _seed(self, kernel, step):
        return draws.stateless_seed(self.seed, kernel.path, "candidates", step)

    def _n_candidates(self, n_active, size):
        """Return `ceil(gamma n)`, at most `size`, as int32."""
        wanted = self.gamma * tf.cast(n_active, tf.float64)
        return tf.cast(tf.minimum(tf.math.ceil(wanted), float(size)), tf.int32)
