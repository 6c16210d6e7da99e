"""The interface of all mask updaters."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class MaskChange:
    """What an update decides for one kernel.

    Attributes:
        mask: new mask, float tensor of zeros and ones.
        grown: boolean tensor of the connections that were inactive before.
        grow_values: weights that grown connections begin with, or None for 0.
        slot_values: values that are added to the initial slots of grown
            connections, or None.
    """

    mask: tf.Tensor
    grown: tf.Tensor
    grow_values: tf.Tensor | None = None
    slot_values: tf.Tensor | None = None


@dataclasses.dataclass(kw_only=True)
class MaskUpdater:
    """Base of all methods; by itself it never changes a mask.

    Attributes:
        seed: seed of all random choices of the method.
        updates_on_batch: whether an update looks at the dense gradients of a
            batch of its own, before a step (RigL, SNIP), or only at weights
            and state, after a step (SET, SNFS).
        starts_dense: whether first masks are all ones (see `masking.sparsify`).
        observes_gradients: whether `observe` wants every step's gradients.
        counts_update_steps: whether an update on a batch counts as a step.
    """

    seed: int = 0

    updates_on_batch = False
    starts_dense = False
    observes_gradients = False
    counts_update_steps = False

    def build(self, kernels):
        """Create the state; called once, before training.

        Args:
            kernels: list of `masking.MaskedKernel`.
        """
        del kernels

    def variables(self):
        """Map names to the state variables, for checkpoints."""
        return {}

    def check_optimizer(self, optimizer):
        """Raise ValueError if the method cannot work with the optimizer."""
        del optimizer

    def next_update(self, step, last_update_step):
        """Return the next step (int) at which an update is due, or None.

        Args:
            step: optimizer steps completed, int.
            last_update_step: step of the last update, or None.
        """
        del step, last_update_step
        return None

    def step_flops(self, sparse, dense):
        """Return the FLOPs of an ordinary step, per example: `3 f_S`.

        Args:
            sparse: FLOPs f_S of a forward pass of the sparse network.
            dense: FLOPs f_D of a forward pass of the dense network.
        """
        del dense
        return 3 * sparse

    def update_flops(self, sparse, dense):
        """Return the FLOPs of an update beyond those of a step, per example.

        Args: as `step_flops`.
        """
        del sparse, dense
        return 0

    def training_flops(self, sparse, dense):
        """Return the mean FLOPs of a batch, per example (paper, appendix H).

        Args: as `step_flops`.
        """
        return self.step_flops(sparse, dense)

    def observe(self, kernels, gradients):
        """Take note of a step's dense gradients, reduced over replicas."""
        del kernels, gradients

    def changes(self, kernels, gradients, step):
        """Decide the new masks.

        Args:
            kernels: list of `masking.MaskedKernel`.
            gradients: list of dense gradients, one per kernel, if
                `updates_on_batch`; otherwise None.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            list of `MaskChange`, one per kernel.
        """
        raise TypeError(f"{type(self).__name__} never updates masks")


def all_finite(tensors):
    """Return a scalar boolean tensor: no infinity or NaN anywhere."""
    sums = [tf.reduce_sum(tf.abs(tensor)) for tensor in tensors]
    # A sum of magnitudes overflows or is NaN if any element is; the rare
    # finite overflow only skips an update.
    return tf.reduce_all([tf.math.is_finite(total) for total in sums])
