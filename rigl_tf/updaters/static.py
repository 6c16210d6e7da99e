"""Static masks, fixed at random; optionally, weak weights are reset."""

import dataclasses

import tensorflow as tf

from rigl_tf.updaters import base
from rigl_tf.updaters import drop_and_grow
from rigl_tf.updaters import protocol


@dataclasses.dataclass(kw_only=True)
class Static(base.MaskUpdater):
    """Train with a fixed mask.

    Drop: never.
    Grow: never.
    First mask: random, with the counts of the distribution; or the masks of
        another run (Scratch, Lottery).
    Cost: 3 f_S per step (paper, appendix H).
    Hyper-parameters: none.
    Deviations: this is the paper's Static; the original code calls it
        `scratch`, and its `static` reinitializes weak weights.
    Reference: Evci et al. 2020, section 4, "Static".
    """

    def check_sparse(self) -> None:
        """Accept truly sparse layers: their connections stay."""


@dataclasses.dataclass(kw_only=True)
class StaticReinit(drop_and_grow.DropAndGrow):
    """Keep the mask, but reset the smallest weights.

    Drop: never; the smallest |w| are reset to `grow_init`, their slots too.
    Grow: never.
    First mask: random, with the counts of the distribution.
    Cost: 3 f_S per step.
    Hyper-parameters: as SET.
    Deviations: updates after steps Delta T, 2 Delta T, ...; the original code
        after 1, Delta T + 1, ...
    Reference: `static` of the original code of Evci et al. 2020.
    """

    def __post_init__(self):
        super().__post_init__()
        if self.redistribution is not None:
            raise ValueError(
                "`StaticReinit` moves no connection. Received: "
                f"redistribution={self.redistribution!r}"
            )

    def grow_scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Return the mask: what was active stays so."""
        del gradient, step
        return tf.cast(kernel.mask.value, tf.float32)

    def _grow(self, kernel, kept, gradient, n_units, step):
        mask = kernel.mask.value
        weak = mask & ~kept
        values = self._grow_values(kernel, gradient, step)
        return protocol.MaskChange(mask, weak, values)
