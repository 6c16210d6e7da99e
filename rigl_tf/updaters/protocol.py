"""What an updater and the training loop tell each other."""

from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from rigl_tf.layers import kernel_masks
from rigl_tf.layers import sparse_kernels

SparseKernel = sparse_kernels.SparseKernel
Kernel = kernel_masks.MaskedKernel
# Inputs X and output gradients G of a layer; its dense gradient is X^T G. None
# stands for zeros.
Pair = tuple[tf.Tensor, tf.Tensor] | None
Kernels = Sequence[Kernel]
# Dense gradients, one per kernel.
Gradients = Sequence[tf.Tensor]


@dataclasses.dataclass(frozen=True)
class MaskChange:
    """What an update decides for one kernel.

    Attributes:
        mask: new mask, tensor of zeros and ones, or of booleans.
        grown: boolean tensor of the active connections that begin anew: those
            that were inactive before.
        grow_values: weights that grown connections begin with, or None for 0.
        slot_values: values that are added to the initial slots of grown
            connections, or None.
    """

    mask: tf.Tensor
    grown: tf.Tensor
    grow_values: tf.Tensor | None = None
    slot_values: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class SparseChange:
    """What an update decides for one truly sparse kernel.

    Attributes:
        kept: boolean tensor [nnz] of the connections that stay.
        grown: ascending positions of those that come, int64; as many as go.
            One that went may come back: it keeps its weight.
        scores: scores by which these were chosen, float32.
    """

    kept: tf.Tensor
    grown: tf.Tensor
    scores: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a method asks of the training loop.

    Attributes:
        batch: an update uses the dense gradients of a batch of its own, before
            a step (RigL, SNIP); otherwise it uses weights and state alone,
            after a step (SET, SNFS).
        second_order: these gradients are Hessian-gradient products (GraSP).
        temperature: divisor of the logits on the batch of an update.
        step_gradients: `observe` is called with the gradients of every step.
        dense_start: the first masks are all ones; see `rigl_tf.sparsify`.
        dense_weights: the optimizer trains dense weights that the updater
            keeps (`MaskUpdater.dense_weights`); the kernels hold their active
            part (DNW, Top-KAST).
        update_is_step: an update on a batch counts as an optimizer step.
        varying_sparsity: the number of active weights changes over time.
    """

    batch: bool = False
    second_order: bool = False
    temperature: float = 1.0
    step_gradients: bool = False
    dense_start: bool = False
    dense_weights: bool = False
    update_is_step: bool = False
    varying_sparsity: bool = False
