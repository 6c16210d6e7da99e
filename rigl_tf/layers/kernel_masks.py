"""List the masked kernels of a model, and assign their masks."""

from collections.abc import Iterable
import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.layers import masked
from rigl_tf.layers import model_paths
from rigl_tf.masks import patterns


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedKernel:
    """A kernel and its mask.

    Attributes:
        path: structural path of the kernel from the root of the model.
        kernel: the variable; zero wherever the mask is zero.
        mask: boolean variable shaped like the kernel.
        sparsity: target fraction of zeros, in [0, 1).
        pattern: sparsity pattern of the mask.
    """

    path: str
    kernel: keras.Variable
    mask: keras.Variable
    sparsity: float
    pattern: patterns.Pattern = patterns.UNSTRUCTURED

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.kernel.shape)

    def fresh_mask(
        self, scores: tf.Tensor, sparsity: float | None = None
    ) -> tf.Tensor:
        """Return the mask of the largest scores at a sparsity.

        Args:
            scores: tensor shaped like the kernel.
            sparsity: fraction of zeros; None for the target.

        Returns:
            A float32 mask.
        """
        sparsity = self.sparsity if sparsity is None else sparsity
        shape = tuple(self.kernel.shape)
        n_units = self.pattern.n_units(shape, sparsity)
        return self.pattern.top(scores, n_units)


def masked_kernels(
    model: keras.Layer, optional: bool = False
) -> list[MaskedKernel]:
    """List the masked kernels of a model, in the order of its layers.

    Args:
        model: result of `sparsify`, or such a model loaded from a file.
        optional: whether a model without masked kernels is accepted.

    Raises:
        TypeError: if `model` is not a Keras model or layer.
        ValueError: if it has no masked kernels.
    """
    model_paths.require_kind(model, keras.layers.Layer)
    found = [
        MaskedKernel(
            f"{path}/{inner}".lstrip("/"),
            kernel,
            mask,
            layer.sparsities.get(inner, 0.0),
            layer.pattern,
        )
        for path, layer in model_paths.walk(model)
        if isinstance(layer, masked.Masked)
        for inner, kernel, mask in layer.masked()
    ]
    if not found and not optional:
        raise ValueError(
            "`model` has no masked kernels: call `rigl_tf.sparsify` first. "
            f"Received: {model.name!r}"
        )
    return found


def require_dense(kernels: Iterable[MaskedKernel], method: str) -> None:
    """Raise ValueError if a method that starts dense finds sparse masks.

    Args:
        kernels: list of `MaskedKernel`.
        method: name of the method, used in the error message.
    """
    sparse = []
    for item in kernels:
        shape = tuple(item.kernel.shape)
        target = item.pattern.n_active(shape, item.sparsity)
        n_active = np.count_nonzero(item.mask.numpy())
        if target < item.size:
            sparse.append(n_active <= target)
    if sparse and all(sparse):
        raise ValueError(
            f"{method} chooses masks from dense weights: call `sparsify` with "
            '`first_mask="dense"`. Received: masks that are already as sparse '
            "as their targets; `updaters.Static()` continues with these"
        )


def set_mask(item: MaskedKernel, mask: np.ndarray | tf.Tensor) -> None:
    """Assign a mask, and set the weights outside of it to zero.

    Args:
        item: the kernel.
        mask: array or tensor of zeros and ones, shaped like the kernel.

    Raises:
        ValueError: if the mask does not have the shape or the pattern.
    """
    item.pattern.check_mask(item.path, mask, tuple(item.kernel.shape))
    assign(item, mask)


def assign(item: MaskedKernel, mask: np.ndarray | tf.Tensor) -> None:
    """Assign a mask without checking it. See `set_mask` for the arguments."""
    active, weights = tf.cast(mask, tf.bool), item.kernel.value
    item.mask.assign(active)
    # A product would give -0.0 for inactive negative weights.
    item.kernel.assign(tf.where(active, weights, tf.zeros_like(weights)))
