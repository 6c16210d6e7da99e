"""Apply a `MaskChange` to masks, weights and optimizer slots."""

from collections.abc import Sequence

import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.layers import kernel_masks
from rigl_tf.training import optimizer_slots


def report(
    decided: Sequence[updaters.MaskChange],
    gradients: Sequence[tf.Tensor | None] | None,
    finite: tf.Tensor,
) -> list[list[tf.Tensor]]:
    """Return the number of grown connections and the norm of their gradients.

    Args:
        decided: list of `updaters.MaskChange`.
        gradients: list of dense gradients, or None.
        finite: scalar boolean tensor: whether the changes are carried out.

    Returns:
        two float32 scalars per kernel.
    """
    rows = []
    for change, gradient in zip(decided, gradients or [None] * len(decided)):
        grown = tf.cast(change.grown & finite, tf.float32)
        norm = tf.constant(0.0)
        if gradient is not None:
            norm = tf.norm(tf.cast(gradient, tf.float32) * grown)
        rows.append([tf.reduce_sum(grown), norm])
    return rows


def apply(
    kernel: kernel_masks.MaskedKernel,
    kernel_slots: Sequence[optimizer_slots.Slot],
    change: updaters.MaskChange,
    finite: tf.Tensor,
) -> None:
    """Assign mask, weights and slots of one kernel, if all is finite.

    Args:
        kernel: `kernel_masks.MaskedKernel`.
        kernel_slots: its list of `optimizer_slots.Slot`.
        change: its `updaters.MaskChange`.
        finite: as in `report`.
    """
    weights, old_mask = kernel.kernel.value, kernel.mask.value
    new_mask = tf.cast(change.mask, old_mask.dtype)
    new_mask = tf.where(finite, new_mask, old_mask)
    grown = change.grown & finite
    retained = (new_mask > 0) & ~grown
    first = change.grow_values
    first = tf.zeros_like(weights) if first is None else first
    anew = tf.where(grown, first, tf.zeros_like(weights))
    kernel.kernel.assign(tf.where(retained, weights, anew))
    kernel.mask.assign(new_mask)
    for slot in kernel_slots:
        value = slot.variable.value
        reset = slot.initial_values(anew)
        if change.slot_values is not None:
            reset += tf.where(grown, change.slot_values, tf.zeros_like(value))
        slot.variable.assign(tf.where(retained, value, reset))
