"""RigL: grow by dense gradients."""

import dataclasses

import keras
import tensorflow as tf

from rigl_tf.updaters import drop_and_grow


@dataclasses.dataclass(kw_only=True)
class RigL(drop_and_grow.DropAndGrow):
    """Drop the smallest weights, grow where the dense gradient is largest.

    Drop: the smallest |w| of the active connections.
    Grow: the largest |dL/dw| of the dense gradient on one global batch, L2
        excluded, averaged over replicas before ranking.
    First mask: random, with the counts of the distribution.
    Cost: (3 f_S Delta T + 2 f_S + f_D) / (Delta T + 1) per step (appendix H).
    Hyper-parameters: Delta T 100, alpha 0.3, cosine, T_end at 3/4 of the run
        (paper, 4.1); a larger alpha suits a longer Delta T (figure 5).
    Deviations: an update takes a batch of its own and leaves the step count
        where it is, as the original code; `counts_update_steps=True` counts it
        as a step, as Algorithm 1 of the paper.
    Reference: Evci et al. 2020, section 3, Algorithm 1.

    Attributes:
        counts_update_steps: whether an update counts as a step.
        initial_accumulator_scale: momentum of a grown connection, in multiples
            of its gradient; SGD only.
    """

    counts_update_steps: bool = False
    initial_accumulator_scale: float = 0.0

    updates_on_batch = True

    def check_optimizer(self, optimizer):
        """Require SGD for `initial_accumulator_scale`."""
        if self.initial_accumulator_scale and not isinstance(
            optimizer, keras.optimizers.SGD
        ):
            raise ValueError(
                "`initial_accumulator_scale` seeds the momentum of SGD; the "
                "slots of other optimizers mean something else. Received: "
                f"{type(optimizer).__name__}"
            )

    def update_flops(self, sparse, dense):
        """Return `2 f_S + f_D`: the update's batch, with dense gradients."""
        return 2 * sparse + dense

    def training_flops(self, sparse, dense):
        """Return `(3 f_S Delta T + 2 f_S + f_D) / (Delta T + 1)`."""
        interval = self.update_interval
        steps = interval * self.step_flops(sparse, dense)
        return (steps + self.update_flops(sparse, dense)) / (interval + 1)

    def grow_scores(self, kernel, gradient, step):
        """Return the magnitude of the dense gradient."""
        del kernel, step
        return tf.abs(gradient)

    def _change(self, kernel, gradient, fraction, step):
        change = super()._change(kernel, gradient, fraction, step)
        if not self.initial_accumulator_scale:
            return change
        return dataclasses.replace(
            change, slot_values=gradient * self.initial_accumulator_scale
        )
