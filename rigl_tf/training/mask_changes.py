"""Apply a `MaskChange` to masks, weights and optimizer slots."""

from collections.abc import Sequence

import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.layers import kernel_masks
from rigl_tf.masks import shared_graphs
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
        given = [] if gradient is None else [gradient]
        row = shared_graphs.call(_row, change.grown, finite, *given)
        rows.append(list(row))
    return rows


def _row(grown, finite, gradient=None):
    grown = tf.cast(grown & finite, tf.float32)
    norm = tf.constant(0.0)
    if gradient is not None:
        norm = tf.norm(tf.cast(gradient, tf.float32) * grown)
    return tf.reduce_sum(grown), norm


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
    mask, grown, retained = shared_graphs.call(
        _flags, change.mask, change.grown, old_mask, finite
    )
    anew = tf.zeros_like(weights)
    if change.grow_values is not None:
        anew = tf.where(grown, change.grow_values, anew)
    kernel.kernel.assign(tf.where(retained, weights, anew))
    kernel.mask.assign(tf.ensure_shape(mask, weights.shape))
    for slot in kernel_slots:
        value = slot.variable.value
        reset = slot.initial_values(anew)
        if change.slot_values is not None:
            reset += tf.where(grown, change.slot_values, tf.zeros_like(value))
        slot.variable.assign(tf.where(retained, value, reset))


def _flags(new_mask, grown, old_mask, finite):
    """Return the mask to assign, and which weights are new or stay."""
    mask = tf.where(finite, tf.cast(new_mask, tf.bool), old_mask)
    grown &= finite
    return mask, grown, mask & ~grown
