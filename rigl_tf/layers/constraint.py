"""The Keras constraint that keeps inactive weights at zero in any loop."""

from collections.abc import Callable

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rigl_tf")
class MaskConstraint(keras.constraints.Constraint):
    """Zero the inactive weights whenever an optimizer has changed a kernel.

    This keeps inactive weights at zero in plain `fit` and in any other training
    loop without support for masks. `rigl_tf.SparseTrainer` detaches the
    constraint, because it masks the gradients instead.

    Args:
        mask: the mask variable.
        inner: the kernel's own constraint, applied before the mask, or None.

    Attributes:
        mask: the mask variable.
        inner: the kernel's own constraint, or None.
    """

    def __init__(
        self,
        mask: keras.Variable,
        inner: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ):
        self.mask = mask
        self.inner = inner

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        """Return `w` after the inner constraint, zero where the mask is."""
        if self.inner is not None:
            w = self.inner(w)
        return keras.ops.where(self.mask, w, 0.0)
