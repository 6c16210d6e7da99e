"""What methods share that grow by the dense gradient of a batch."""

import dataclasses

import tensorflow as tf

from rigl_tf.updaters import drop_and_grow
from rigl_tf.updaters import protocol


@dataclasses.dataclass(kw_only=True)
class GrowByGradients(drop_and_grow.DropAndGrow):
    """Drop and grow; large gradients on an update's own batch are grown."""

    def training_flops(self, sparse: float, dense: float) -> float:
        """Return `(Delta T f_step + f_update) / (Delta T + 1)`."""
        interval = self.update_interval
        steps = interval * self.step_flops(sparse, dense)
        return (steps + self.update_flops(sparse, dense)) / (interval + 1)

    def grow_scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Return the magnitude of the dense gradient."""
        del kernel, step
        return tf.abs(gradient)
