"""Find the units of multi-layer perceptrons that compute nothing."""

from collections.abc import Sequence
import math
from typing import Any
from typing import Protocol

import keras
import numpy as np

from rigl_tf.accounting import encodings
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masked
from rigl_tf.sparse import layers as sparse_layers


def remove_dead_units(matrices: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Remove the units of a multi-layer perceptron that compute nothing.

    First inputs without connections are removed; then, layer by layer, hidden
    units without incoming or outgoing connections, until none is left. (A unit
    without incoming connections is a constant, which a later bias can absorb.)

    Args:
        matrices: arrays [n_in, n_out], the masked weights (or masks) of
            consecutive dense layers.

    Returns:
        A list of arrays without the rows and columns of dead units.

    Raises:
        ValueError: if the shapes are not those of consecutive dense layers.
    """
    matrices = [np.asarray(matrix) for matrix in matrices]
    shapes = [matrix.shape for matrix in matrices]
    if {len(shape) for shape in shapes} != {2} or any(
        before[1] != after[0] for before, after in zip(shapes, shapes[1:])
    ):
        raise ValueError(
            "`matrices` must be those of consecutive dense layers. "
            f"Received: shapes {shapes}"
        )
    sizes: list[tuple[int, ...]] | None = None
    while sizes != [matrix.shape for matrix in matrices]:
        sizes = [matrix.shape for matrix in matrices]
        matrices[0] = matrices[0][matrices[0].any(axis=1)]
        for index in range(len(matrices) - 1):
            before, after = matrices[index : index + 2]
            alive = before.any(axis=0) & after.any(axis=1)
            matrices[index] = before[:, alive]
            matrices[index + 1] = after[alive]
    return matrices


_BETWEEN_DENSE = (
    keras.layers.Activation,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.ReLU,
)


class _Trainer(Protocol):
    """What is read of a `SparseTrainer`: its model and the masked kernels."""

    @property
    def model(self) -> keras.Model: ...

    @property
    def kernels(self) -> Sequence[kernel_masks.MaskedKernel]: ...


def without_dead_units(trainer: _Trainer) -> dict[str, Any]:
    """Describe a multi-layer perceptron without the units that compute nothing.

    Args:
        trainer: a `SparseTrainer`.

    Returns:
        A dictionary with "without_dead_units": the units of each layer, the
        sparsity, "inference_flops" and "bytes", counted as in the paper's table
        2. It is empty for other networks.
    """
    matrices = _perceptron(trainer)
    if matrices is None:
        return {}
    matrices = remove_dead_units(matrices)
    n_active = sum(int(np.count_nonzero(matrix)) for matrix in matrices)
    size = sum(matrix.size for matrix in matrices)
    n_biases = sum(matrix.shape[1] for matrix in matrices)
    n_bytes = encodings.bitmask_bytes(size, n_active) + 4 * n_biases
    return {
        "without_dead_units": {
            "units": [matrices[0].shape[0], *(m.shape[1] for m in matrices)],
            "sparsity": 1 - n_active / size if size else 0.0,
            "inference_flops": 2 * n_active,
            "bytes": math.ceil(n_bytes),
        }
    }


def _perceptron(trainer):
    """List the masks of a chain of dense layers; None for other networks."""
    if not isinstance(trainer.model, keras.Sequential):
        return None
    if not all(item.fits_densely for item in trainer.sparse_kernels):
        return None
    found = {id(item.kernel): item.mask.numpy() for item in trainer.kernels}
    found |= {id(k.kernel): k.dense_mask() for k in trainer.sparse_kernels}
    matrices = []
    for layer in trainer.model.layers:
        layer = layer.layer if isinstance(layer, masked.Masked) else layer
        if isinstance(layer, sparse_layers.SparseDense):
            matrices.append(found[id(layer.values)])
        elif type(layer) is keras.layers.Dense:
            ones = np.ones(layer.kernel.shape)
            matrices.append(found.get(id(layer.kernel), ones))
        elif not isinstance(layer, _BETWEEN_DENSE):
            return None
    return matrices if len(matrices) > 1 else None
