"""The base of methods that choose their masks once."""

import abc
import dataclasses

import tensorflow as tf

from rigl_tf.updaters import protocol
from rigl_tf.updaters import ranking


@dataclasses.dataclass(kw_only=True)
class ChooseOnce(ranking.Ranking, abc.ABC):
    """Base of the methods that choose the mask from dense weights, once."""

    prune_step = 0  # type: int | float

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        # Steps before the mask is chosen are dense.
        is_late = self.prune_step > 0
        return dataclasses.replace(super().needs, varying_sparsity=is_late)

    def next_update(
        self, step: int, last_update_step: int | None
    ) -> int | None:
        """Return the step at which the mask is chosen, until it has been."""
        if last_update_step is not None:
            return None
        if self.has_fractions:
            return self._window.next_due(step)  # not known yet: an error
        # After a skipped update it is due again, after one more step.
        return max(step, int(self.prune_step))

    def sparsity_progress(self, step: int) -> float:
        """Return 0 before the mask is chosen, 1 from then on."""
        return float(step >= self.prune_step)

    @abc.abstractmethod
    def scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Score connections; the largest are kept.

        Args:
            kernel: `kernel_masks.MaskedKernel`, still dense.
            gradient: its gradient, with `needs.batch`.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            tensor shaped like the kernel.
        """

    def changes(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients | None,
        step: tf.Tensor,
    ) -> list[protocol.MaskChange]:
        """Keep the largest scores, per kernel or over all."""
        if gradients is None:
            gradients = [None] * len(kernels)
        scores = [
            self.scores(kernel, gradient, step)
            for kernel, gradient in zip(kernels, gradients)
        ]
        chosen = self.fresh_masks(kernels, scores)
        return [
            protocol.MaskChange(m, tf.zeros_like(m, tf.bool)) for m in chosen
        ]
