"""Grow connections of truly sparse layers, in memory of what is grown."""

import typing

import tensorflow as tf

from rigl_tf.layers import sparse_kernels
from rigl_tf.sparse import growth

if typing.TYPE_CHECKING:
    from rigl_tf.updaters import drop_and_grow
    from rigl_tf.updaters import protocol

# Options that need scores or values of inactive weights -> their only value.
_OPTIONS = {
    "redistribution": None,
    "grow_init": "zeros",
    "drop_noise": 0.0,
    "gradient_batches": 1,
    "initial_accumulator_scale": 0.0,
}
# Methods whose override changes what is moved, and not in `grow_sparse`.
_OVERRIDES = ("changes", "drop_scores", "_masks_to_move", "_grow")


def check(updater: "drop_and_grow.DropAndGrow") -> None:
    """Raise ValueError if a method cannot move connections of sparse layers.

    Args:
        updater: the method.
    """
    growing = _definer(updater, "grow_sparse")
    known = growing.__name__ != "DropAndGrow"
    later = [
        name
        for name in ("grow_scores", *_OVERRIDES)
        if known and not issubclass(growing, _definer(updater, name))
    ]
    if not known or later:
        raise ValueError(
            f"{type(updater).__name__} needs scores or state of all positions, "
            "which truly sparse layers (`sparse.SparseDense`) do not have. "
            f"Received: {later[0] if later else 'no `grow_sparse`'}; use it "
            'with masks (`compute="masked"`), or RigL, GSE, SET or Static'
        )
    for name, value in _OPTIONS.items():
        if getattr(updater, name, value) != value:
            raise ValueError(
                f"`{name}` must be {value!r} for truly sparse layers, which "
                "have no values of inactive weights. Received: "
                f"{name}={getattr(updater, name)!r}"
            )


def _definer(updater, name):
    """Return the class that defines a method of an updater."""
    return next(cls for cls in type(updater).__mro__ if name in vars(cls))


def by_gradients(
    kernel: sparse_kernels.SparseKernel,
    kept: tf.Tensor,
    n: tf.Tensor,
    pair: "protocol.Pair",
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the positions where the dense gradient is largest.

    Args:
        kernel: the kernel.
        kept: ascending positions that stay.
        n: how many to grow.
        pair: inputs and output gradients; None for a gradient of zeros, which
            grows the lowest positions, as a masked kernel does.

    Returns:
        `(positions, magnitudes)`, in ascending positions.
    """
    if pair is None:
        pair = (tf.zeros([1, kernel.shape[0]]), tf.zeros([1, kernel.shape[1]]))
    tiles = growth.of_products(*pair, kernel.block)
    tile = growth.tile_shape(kernel.grid, block=kernel.block)
    return growth.largest(tiles, kernel.grid, kept, n, tile)
