"""Methods that train all weights but compute with the largest."""

import dataclasses

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import base
from rigl_tf.updaters import protocol
from rigl_tf.updaters import update_times


@dataclasses.dataclass(kw_only=True)
class StraightThrough(base.MaskUpdater):
    """Train dense weights; compute with the largest of them.

    Drop: weights that leave the top k by |w| of all weights, active or not.
    Grow: weights that enter it.
    First mask: the largest first weights, with the counts of the distribution.
    Cost: 2 f_S + f_D per step: every step needs dense gradients.
    Hyper-parameters: masks follow the weights after every step; lambda 2e-4
        for SR-STE (paper, section 4).
    Deviations: counts per kernel follow the distribution, for any pattern;
        SR-STE's is N:M. Optimizer slots stay where masks change.
    Reference: Bengio et al. 2013, "Estimating or Propagating Gradients Through
        Stochastic Neurons" (straight-through); Zhou et al. 2021, "Learning N:M
        Fine-grained Structured Sparse Neural Networks From Scratch", equation 6
        (SR-STE).

    Attributes:
        update_interval: steps between two updates of the masks, at least 1.
        update_end_step: last step at which they change, or fraction of the
            run; None never stops.
        refinement: lambda: adds lambda w to the gradient of inactive weights,
            so that they fade (SR-STE); 0 for plain straight-through.
    """

    update_interval: int = 1
    update_end_step: int | float | None = None
    refinement: float = 0.0

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(
            super().needs, dense_weights=True, dense_start=True
        )

    def __post_init__(self):
        super().__post_init__()
        checks.at_least("refinement", self.refinement, 0)
        self._dense = {}

    def _plan(self):
        self._window = update_times.UpdateWindow(
            self.update_interval, 0, self.update_end_step
        )

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the dense weights, equal to the first kernels."""
        self._dense = {
            kernel.path: keras.Variable(
                # A copy: Keras would take the variable itself.
                tf.identity(kernel.kernel.value),
                autocast=False,
                name=f"{kernel.path.replace('/', '_')}_dense_weights",
            )
            for kernel in kernels
        }
        for kernel in kernels:
            own = getattr(kernel.kernel.constraint, "inner", None)
            self._dense[kernel.path].constraint = own

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the dense weights."""
        return {f"{p}/dense_weights": v for p, v in self._dense.items()}

    def check_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Refuse averages of weights: Keras would put them into kernels."""
        if optimizer.use_ema:
            raise ValueError(
                f"{type(self).__name__} trains dense weights beside the "
                "kernels, whose averages are no kernels. Received: "
                "use_ema=True; use another method, or no averages"
            )

    def next_update(
        self, step: int, last_update_step: int | None
    ) -> int | None:
        """Return the next due step that had no update yet; the first is 0."""
        return self._window.next_after(step, last_update_step)

    def step_flops(self, sparse: float, dense: float) -> float:
        """Return `2 f_S + f_D`: every step needs dense gradients."""
        return 2 * sparse + dense

    def dense_weights(self, kernel: protocol.Kernel) -> keras.Variable:
        """Return the weights that the optimizer trains."""
        return self._dense[kernel.path]

    def step_gradient(
        self, kernel: protocol.Kernel, gradient: tf.Tensor
    ) -> tf.Tensor:
        """Return the dense gradient, straight through the mask."""
        return gradient

    def penalty_gradient(
        self, kernel: protocol.Kernel, l2: float
    ) -> tf.Tensor | None:
        """Return `wd w + lambda (1 - m) w` of the dense weights."""
        if not l2 and not self.refinement:
            return None
        dense = self._dense[kernel.path].value
        inactive = 1 - tf.cast(kernel.mask.value, dense.dtype)
        return (l2 + self.refinement * inactive) * dense

    def changes(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients | None,
        step: tf.Tensor,
    ) -> list[protocol.MaskChange]:
        """Keep the largest `|w|` of the dense weights."""
        del gradients, step
        changes = []
        for kernel in kernels:
            mask = kernel.fresh_mask(tf.abs(self._dense[kernel.path].value))
            grown = (mask > 0) & ~kernel.mask.value
            changes.append(protocol.MaskChange(mask, grown))
        return changes
