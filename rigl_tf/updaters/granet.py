"""GraNet: prune gradually, and regrow connections after each cut."""

import dataclasses

from rigl_tf.updaters import gradual
from rigl_tf.updaters import rigl


@dataclasses.dataclass(kw_only=True)
class GraNet(gradual.Gradual, rigl.RigL):
    """Prune a dense network gradually; drop and grow as RigL after each cut.

    Drop: the smallest |w|, down to the sparsity of a cubic schedule, and then a
        fraction more. (Schedule: see `Pruning`; fraction: alpha, annealed by a
        cosine.)
    Grow: as many as that fraction, where |dL/dw| is largest.
    First mask: dense.
    Cost: 3 E_t[f_St] per step, and 2 f_St + f_D per update.
    Hyper-parameters: Delta T 1,000 to 4,000, alpha 0.5, initial sparsity 0 or
        0.5, from the start to half of the run (paper, section 4).
    Deviations: pruning is per kernel by default; the paper's is
        `scope="global"`. With an initial sparsity the first masks hold the
        largest initial weights of a dense network, where the paper draws ERK
        masks.
    Reference: Liu et al. 2021, "Sparse Training via Boosting Pruning Plasticity
        with Neuroregeneration", section 4, algorithm 1.
    """

    def __post_init__(self):
        super().__post_init__()
        if self.update_steps is not None or self.redistribution is not None:
            raise ValueError(
                "`GraNet` prunes at intervals, by a schedule for each kernel. "
                f"Received: update_steps={self.update_steps!r}, "
                f"redistribution={self.redistribution!r}"
            )

    def _plan(self):
        super()._plan()
        self._follow_polynomial()

    def _masks_to_move(self, kernels, step):
        share = self._share(step, gradual.target_sparsity(kernels))
        return gradual.prune(kernels, share, self.scope)
