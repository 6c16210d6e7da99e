"""GraNet: prune little by little, and grow while pruning."""

import dataclasses

from rigl_tf import checks
from rigl_tf.updaters import base
from rigl_tf.updaters import pruning
from rigl_tf.updaters import pruning_schedules
from rigl_tf.updaters import rigl


@dataclasses.dataclass(kw_only=True)
class GraNet(rigl.RigL):
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
        `scope="global"`. With an initial share the first masks hold the largest
        initial weights of a dense network, where the paper draws ERK masks.
    Reference: Liu et al. 2021, "Sparse Training via Boosting Pruning Plasticity
        with Neuroregeneration", section 4, algorithm 1.

    Attributes:
        initial_share: share of the final zeros that are in place at the first
            update, in [0, 1).
        power: exponent of the schedule, above 0.
        scope: "layer" or "global", for pruning; growing is per kernel.
    """

    initial_share: float = 0.0
    power: float = 3.0
    scope: str = "layer"

    starts_dense = True
    sparsity_varies = True

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("scope", self.scope, ("layer", "global"))
        if self.update_steps is not None or self.redistribution is not None:
            raise ValueError(
                "`GraNet` prunes at intervals, by a schedule for each kernel. "
                f"Received: update_steps={self.update_steps!r}, "
                f"redistribution={self.redistribution!r}"
            )
        self._progress = pruning_schedules.polynomial(
            self.update_begin_step,
            self.update_end_step,
            self.update_interval,
            self.initial_share,
            self.power,
        )

    def check_mask_shape(self, mask_shape):
        """Require single weights, if they are ranked over all kernels."""
        if self.scope == "global":
            base.require_unstructured(mask_shape, '`scope="global"`')

    def sparsity_progress(self, step):
        """Return s_t / s_f at the last update."""
        due = self._window.last_due(step)
        return 0.0 if due is None else float(self._progress(due))

    def _masks_to_move(self, kernels, step):
        return pruning.prune(kernels, self._progress(step), self.scope)
