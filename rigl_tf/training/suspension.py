"""Detach mask constraints and the optimizer's all-reduce during a step."""

from collections.abc import Sequence
import typing

import keras

from rigl_tf.layers import constraint


class Suspension:
    """Context that detaches mask constraints and the optimizer's all-reduce.

    Our step does both itself. A constraint
    of the user's own stays, and its mask with it: it may move an inactive
    weight off zero. Entries are counted, because the threads of several
    replicas trace through here alternately.

    Args:
        kernels: kernels whose mask constraints are taken off.
        optimizers: Keras optimizers that shall not reduce gradients.
    """

    def __init__(
        self,
        kernels: Sequence[keras.Variable],
        optimizers: Sequence[keras.optimizers.Optimizer],
    ):
        self._kernels = kernels
        self._optimizers = optimizers
        self._constraints: list[typing.Any] = []
        self._entered = 0

    def __enter__(self):
        self._entered += 1
        if self._entered > 1:
            return
        self._constraints = [kernel.constraint for kernel in self._kernels]
        for kernel in self._kernels:
            own = kernel.constraint
            if isinstance(own, constraint.MaskConstraint) and own.inner is None:
                kernel.constraint = None
        for optimizer in self._optimizers:
            # Private in Keras 3.12 to 3.15, without a public switch. If it is
            # renamed, gradients are summed twice: replicas would differ from
            # one device in tests of two replicas.
            optimizer._all_reduce_sum_gradients = lambda pairs: pairs

    def __exit__(self, *_):
        self._entered -= 1
        if self._entered:
            return
        for kernel, own in zip(self._kernels, self._constraints):
            kernel.constraint = own
        for optimizer in self._optimizers:
            del optimizer._all_reduce_sum_gradients
