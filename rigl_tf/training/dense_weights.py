"""Dense weights beside kernels, for methods that train inactive weights."""

from collections.abc import Sequence
import typing

import keras
import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.layers import kernel_masks


class DenseWeights:
    """The weights that the optimizer trains instead of the kernels.

    The kernels always hold their active part. Empty unless the updater has
    `needs.dense_weights`.

    Args:
        updater: `updaters.MaskUpdater`, built; or None.
        kernels: list of `kernel_masks.MaskedKernel`.
    """

    def __init__(
        self,
        updater: updaters.MaskUpdater | None,
        kernels: Sequence[kernel_masks.MaskedKernel],
    ):
        self._updater: typing.Any = updater
        self._pairs = []
        if updater is not None and updater.needs.dense_weights:
            self._pairs = [(k, updater.dense_weights(k)) for k in kernels]

    def __bool__(self):
        return bool(self._pairs)

    def variables(self) -> list[keras.Variable]:
        """List the variables, in the order of the kernels."""
        return [dense for _, dense in self._pairs]

    def by_kernel(self) -> dict[int, keras.Variable]:
        """Map ids of kernel variables to the variables trained for them."""
        return {id(item.kernel): dense for item, dense in self._pairs}

    def frozen(self) -> list[tf.Tensor]:
        """Copy the weights that a step must not move, for `settle`.

        Returns:
            list of (variable, boolean tensor of what may move, copy), of the
            kernels of which not all positions are trained.
        """
        found = []
        for item, dense in self._pairs:
            trained = self._updater.trained_positions(item)
            if trained is not None:
                found.append((dense, trained, tf.identity(dense.value)))
        return found

    def settle(self, frozen: list[tf.Tensor]) -> None:
        """Restore frozen weights, then write the active part to the kernels.

        Args:
            frozen: what `frozen` returned before the step.
        """
        for dense, trained, old in frozen:
            dense.assign(tf.where(trained, dense.value, old))
        self.mask()

    def mask(self) -> None:
        """Set the kernels to the active part."""
        for item, dense in self._pairs:
            mask = tf.cast(item.mask.value, dense.value.dtype)
            item.kernel.assign(dense.value * mask)

    def adopt(self) -> None:
        """Copy active weights of kernels that were assigned from outside."""
        for item, dense in self._pairs:
            active, weights = item.mask.value, item.kernel.value
            dense.assign(tf.where(active, weights, dense.value))
