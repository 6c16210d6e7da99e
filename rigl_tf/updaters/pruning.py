"""Gradual magnitude pruning, from a dense network."""

import dataclasses

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import gradual
from rigl_tf.updaters import protocol
from rigl_tf.updaters import pruning_schedules
from rigl_tf.updaters import update_times


@dataclasses.dataclass(kw_only=True)
class Pruning(gradual.Gradual):
    """Prune the smallest weights of a dense network, little by little.

    Drop: the smallest |w| of the active connections; so many that the sparsity
        follows s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (t_n - t_0))^3, with
        s_f the target of each kernel. max(1, round(size (1 - s_t))) are left.
    Grow: never.
    First mask: dense.
    Cost: 3 E_t[f_St] per step: f_S falls as training goes on (paper, H).
    Hyper-parameters: for ResNet-50 t_0 10,000, t_n 25,000 of 32,000 steps,
        every 1,000 steps (paper, 4.1 and the original code).
    Deviations: pruned weights are zero and never come back (in the original
        code all weights compete at each update). The schedule is that of
        tensorflow-model-optimization, the masks are ours: of equal weights the
        lower index is kept, and counts are exact.
    Reference: Zhu & Gupta 2018, "To prune, or not to prune", equation 1;
        Evci et al. 2020, section 4, "Pruning".

    Attributes:
        update_begin_step: t_0, a step or a fraction of the run.
        update_end_step: t_n, the same, by default 0.75; rounded down to a whole
            number of intervals if it is a fraction. With the constant schedule
            None goes on.
        update_interval: steps between two prunings.
        schedule: "polynomial", or "constant": at once, at t_0.
    """

    update_begin_step: int | float = 0
    update_end_step: int | float | None = 0.75
    update_interval: int = 100
    schedule: str = "polynomial"

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("schedule", self.schedule, ("polynomial", "constant"))

    def _plan(self):
        self._window = update_times.UpdateWindow(
            self.update_interval, self.update_begin_step, self.update_end_step
        )
        if self.schedule == "constant":
            self._progress = pruning_schedules.constant(
                self.update_begin_step, self.update_interval
            )
        else:
            self._follow_polynomial()

    def next_update(
        self, step: int, last_update_step: int | None
    ) -> int | None:
        """Return the next due step that had no update yet."""
        return self._window.next_after(step, last_update_step)

    def changes(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients | None,
        step: tf.Tensor,
    ) -> list[protocol.MaskChange]:
        """Keep the largest active `|w|`, as many as the schedule says."""
        del gradients
        share = self._share(step, gradual.target_sparsity(kernels))
        chosen = gradual.prune(kernels, share, self.scope)
        return [
            protocol.MaskChange(m, tf.zeros_like(m, tf.bool)) for m in chosen
        ]
