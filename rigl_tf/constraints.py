"""What keeps masked weights at zero in loops that know nothing of masks."""

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


class Suspension:
    """Switch off, for a while, what our step does itself.

    Mask constraints, and the reduction of gradients by optimizers. A constraint
    of the user's own stays, and its mask with it: it may move an inactive
    weight off zero. Entries are counted, because the threads of several
    replicas trace through here alternately.

    Args:
        kernels: kernels whose mask constraints are taken off.
        optimizers: Keras optimizers that shall not reduce gradients.
    """

    def __init__(self, kernels, optimizers):
        self._kernels = kernels
        self._optimizers = optimizers
        self._constraints = []
        self._entered = 0

    def __enter__(self):
        self._entered += 1
        if self._entered > 1:
            return
        self._constraints = [kernel.constraint for kernel in self._kernels]
        for kernel in self._kernels:
            own = kernel.constraint
            if isinstance(own, MaskConstraint) and own.inner is None:
                kernel.constraint = None
        for optimizer in self._optimizers:
            optimizer._all_reduce_sum_gradients = lambda pairs: pairs

    def __exit__(self, *_):
        self._entered -= 1
        if self._entered:
            return
        for kernel, constraint in zip(self._kernels, self._constraints):
            kernel.constraint = constraint
        for optimizer in self._optimizers:
            del optimizer._all_reduce_sum_gradients
