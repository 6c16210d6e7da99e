"""The base of methods that prune gradually."""

import dataclasses
import math
import typing

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks import patterns
from rigl_tf.masks import selection
from rigl_tf.updaters import base
from rigl_tf.updaters import protocol
from rigl_tf.updaters import pruning_schedules
from rigl_tf.updaters import ranking


@dataclasses.dataclass(kw_only=True)
class Gradual(ranking.Ranking):
    """Base of methods that prune by a schedule.

    They have a `_window`, and `_progress`, a function from a step to the share
    of the zeros that the first update leaves to later ones.

    Attributes:
        initial_sparsity: overall sparsity s_i of the first update, in [0, 1);
            each kernel gets the share s_i / S of its own target.
        power: exponent of the schedule, above 0.
    """

    initial_sparsity: float = 0.0
    power: float = 3.0

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(super().needs, varying_sparsity=True)

    def __post_init__(self):
        super().__post_init__()
        checks.fraction(
            "initial_sparsity", self.initial_sparsity, include_one=False
        )
        checks.above("power", self.power, 0)

    def _follow_polynomial(self):
        self._progress = pruning_schedules.polynomial(
            self.update_begin_step,
            self.update_end_step,
            self.update_interval,
            self.power,
        )

    def _steps_of(self, fractions, n_steps):
        """Round the last step down to one that prunes."""
        steps = super()._steps_of(fractions, n_steps)
        if "update_end_step" in steps:
            begin = steps.get("update_begin_step", self.update_begin_step)
            past = steps["update_end_step"] - begin
            if past < self.update_interval:
                raise ValueError(
                    "Gradual pruning needs a window of one interval or more: "
                    "train longer, or set a smaller `update_interval` "
                    f"(PRUNE_INTERVAL). Received: {past} steps of a run of "
                    f"{n_steps}, update_interval={self.update_interval}"
                )
            steps["update_end_step"] -= past % self.update_interval
        return steps

    def build(self, kernels: protocol.Kernels) -> None:
        """Require that the first sparsity is not above the last."""
        super().build(kernels)
        last = target_sparsity(kernels)
        if self.initial_sparsity > last:
            raise ValueError(
                "`initial_sparsity` must be at most the overall target. "
                f"Received: initial_sparsity={self.initial_sparsity}, target "
                f"{last:.4f}"
            )

    def _share(self, step, sparsity):
        """Return the share of the final zeros after the pruning at `step`.

        Args:
            step: step of a pruning, int or scalar integer tensor.
            sparsity: overall target S.
        """
        if not self.initial_sparsity:
            return self._progress(step)
        first = self.initial_sparsity / sparsity
        return first + (1 - first) * self._progress(step)

    def stretched_fields(self, multiplier: float) -> dict[str, typing.Any]:
        """Round the last step down, so that it is one of a pruning."""
        changed = super().stretched_fields(multiplier)
        if "update_end_step" in changed:
            fields: typing.Any = self  # begin and interval are a subclass's
            begin = changed.get("update_begin_step", fields.update_begin_step)
            if not base.is_fraction(begin):
                past = changed["update_end_step"] - begin
                changed["update_end_step"] -= past % fields.update_interval
        return changed

    def sparsity_progress(self, step: int) -> float:
        """Return s_t / s_f at the last pruning."""
        due = self._window.last_due(step)
        if due is None:
            return 0.0
        if self.initial_sparsity and self._target_sparsity is None:
            raise ValueError(
                "What pruning from `initial_sparsity` costs depends on the "
                "target: call `resolved(n_steps, sparsity)` first. Received: "
                f"initial_sparsity={self.initial_sparsity}, no target"
            )
        return float(self._share(due, self._target_sparsity))


def target_sparsity(kernels: protocol.Kernels) -> float:
    """Return the overall target S of `kernel_masks.MaskedKernel`s."""
    zeros = math.fsum(kernel.size * kernel.sparsity for kernel in kernels)
    return zeros / sum(kernel.size for kernel in kernels)


def prune(
    kernels: protocol.Kernels, progress: tf.Tensor, scope: str
) -> list[protocol.MaskChange]:
    """Prune active weights until a share of the final zeros is in place.

    Args:
        kernels: list of `kernel_masks.MaskedKernel`.
        progress: the share, float32 tensor in [0, 1].
        scope: "layer" or "global".

    Returns:
        list of float32 masks. With single weights max(1, round(n (1 - progress
        s))) of n are left, per kernel or in all, as in
        tensorflow-model-optimization; with other patterns those of
        `Pattern.left`.
    """
    scores = [tf.abs(kernel.kernel.value) for kernel in kernels]
    if scope == "layer":
        return [
            kernel.pattern.top(
                score, _n_left(kernel, progress), kernel.mask.value
            )
            for kernel, score in zip(kernels, scores)
        ]
    size = sum(kernel.size for kernel in kernels)
    active = [kernel.mask.value for kernel in kernels]
    return selection.global_top_k_masks(
        scores, _rounded(size, target_sparsity(kernels) * progress), active
    )


def _n_left(kernel, progress):
    sparsity = kernel.sparsity * progress
    if kernel.pattern == patterns.UNSTRUCTURED:
        return _rounded(kernel.size, sparsity)
    return kernel.pattern.left(tuple(kernel.kernel.shape), sparsity)


def _rounded(size, sparsity):
    """Count remaining weights in float32, as `tfmot` does."""
    left = tf.round(tf.cast(size, tf.float32) * (1 - sparsity))
    return tf.cast(tf.maximum(left, 1), tf.int32)
