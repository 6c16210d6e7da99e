"""Static: a fixed random mask."""

import dataclasses

from rigl_tf.updaters import base


@dataclasses.dataclass(kw_only=True)
class Static(base.MaskUpdater):
    """Train with a fixed random mask.

    Drop: never. Grow: never.
    First mask: random, with the counts of the distribution.
    Cost: 3 f_S per step (paper, appendix H).
    Hyper-parameters: none.
    Deviations: this is the paper's Static; the original code calls it
        `scratch`, and its `static` re-initialises weak weights.
    Reference: Evci et al. 2020, section 4, "Static".
    """
