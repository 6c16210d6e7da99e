"""AC/DC: alternate between sparse and dense phases of training."""

import dataclasses

import tensorflow as tf

from rigl_tf.updaters import protocol
from rigl_tf.updaters import ranking
from rigl_tf.updaters import update_times


@dataclasses.dataclass(kw_only=True)
class ACDC(ranking.Ranking):
    """Alternate sparse and dense phases; end with a sparse one.

    Drop: all but the largest |w|, at the beginning of a compressed phase.
    Grow: everything, from zero, at the beginning of a decompressed phase.
    First mask: dense.
    Cost: 3 f_S per step in compressed phases, 3 f_D in others.
    Hyper-parameters: a tenth of the run dense, phases of a twentieth, and the
        last compressed phase of 15 to 25 % (paper, section 4: 10, 5 and 15 or
        25 of 100 epochs).
    Deviations: the counts of the distribution, per kernel, by default; the
        paper's is `scope="global"`.
    Reference: Peste et al. 2021, "AC/DC: Alternating Compressed/DeCompressed
        Training of Deep Neural Networks", algorithm 1.

    Attributes:
        update_begin_step: end of the first, dense phase: a step, or a fraction
            of the run.
        update_interval: steps of a phase.
        update_end_step: last step at which a phase may change, or fraction of
            the run; a last change that would decompress is skipped.
    """

    update_begin_step: int | float = 0
    update_interval: int = 100
    update_end_step: int | float = 0.75

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(super().needs, varying_sparsity=True)

    def _plan(self):
        if self.update_end_step is None:
            raise ValueError(
                "The last phase of AC/DC is compressed: `update_end_step` must "
                "say when turns end (PRUNE_END_STEP). Received: None"
            )
        self._window = update_times.UpdateWindow(
            self.update_interval, self.update_begin_step, self.update_end_step
        )

    def next_update(
        self, step: int, last_update_step: int | None
    ) -> int | None:
        """Return the next phase change that has not happened yet."""
        return self._window.next_after(step, last_update_step)

    def sparsity_progress(self, step: int) -> float:
        """Return 1 in compressed phases, 0 in others."""
        due = self._window.last_due(step)
        return 0.0 if due is None else float(self._compresses(due))

    def changes(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients | None,
        step: tf.Tensor,
    ) -> list[protocol.MaskChange]:
        """Keep the largest `|w|`, or everything."""
        del gradients
        compress = self._compresses(tf.cast(step, tf.int64))
        scores = [tf.abs(kernel.kernel.value) for kernel in kernels]
        changes = []
        for kernel, mask in zip(kernels, self.fresh_masks(kernels, scores)):
            mask = tf.where(compress, mask, tf.ones_like(mask))
            grown = (mask > 0) & ~kernel.mask.value
            changes.append(protocol.MaskChange(mask, grown))
        return changes

    def _compresses(self, step):
        """Return whether the phase that starts at a due step is sparse."""
        turn = (step - self.update_begin_step) // self.update_interval
        last = self._window.last_due(self.update_end_step)
        n_last = (last - self.update_begin_step) // self.update_interval
        return (turn % 2 == 0) | (turn == n_last)
