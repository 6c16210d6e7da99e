"""The Keras constraint that keeps inactive weights at zero in any loop."""

import keras


@keras.saving.register_keras_serializable(package="rigl_tf")
class MaskConstraint(keras.constraints.Constraint):
    """Multiply a kernel by its mask whenever an optimizer has changed it.

    This keeps inactive weights at zero under plain `fit` and any other loop
    that knows nothing of masks. `rigl_tf.SparseTrainer` detaches it, because it
    masks the gradients instead.

    Attributes:
        mask: the mask variable.
        inner: the kernel's own constraint, applied before the mask, or None.
    """

    def __init__(self, mask, inner=None):
        self.mask = mask
        self.inner = inner

    def __call__(self, w):
        """Return `w`, constrained and masked."""
        if self.inner is not None:
            w = self.inner(w)
        return w * keras.ops.cast(self.mask, w.dtype)
