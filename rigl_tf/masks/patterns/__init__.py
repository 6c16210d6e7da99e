"""Sparsity patterns: which weights are switched together, how many per group.

A pattern is independent of the method and of the sparsity distribution. It
divides a kernel into *units*, sets of weights that are active or inactive
together (single weights, blocks, channels), and the units into *groups*, each
with a fixed number of active units (all units of the kernel; M neighbors; the
inputs of one output unit). Sparsity s^l leaves `n - floor(s^l * n)` active
units in each group of n.

Updates drop the weakest units of the whole kernel, then refill each group with
its best candidates. The counts per group are kept, and the drop fraction has
the same meaning as without structure, even if groups are small.
"""

from rigl_tf.masks.patterns.base import Pattern
from rigl_tf.masks.patterns.block import Block
from rigl_tf.masks.patterns.channel import Channel
from rigl_tf.masks.patterns.constant_fan_in import ConstantFanIn
from rigl_tf.masks.patterns.n_of_m import NOfM
from rigl_tf.masks.patterns.unstructured import Unstructured

__all__ = [
    "UNSTRUCTURED",
    "Block",
    "Channel",
    "ConstantFanIn",
    "NOfM",
    "Pattern",
    "Unstructured",
    "get",
]

UNSTRUCTURED = Unstructured()
_KINDS: tuple[type[Pattern], ...] = (
    Unstructured,
    ConstantFanIn,
    NOfM,
    Channel,
    Block,
)


def get(pattern: str | Pattern) -> Pattern:
    """Return a sparsity pattern from its name.

    Args:
        pattern: `Pattern`, or "unstructured", "constant_fan_in", "channel"
            (output channels), "channel_in" (input channels), "2:4" (any N:M;
            "n:4" takes N from the sparsity), "block_4x1"; blocks and channels
            may end in "_sum" (default), "_mean" or "_max".

    Raises:
        ValueError: if there is no such pattern.
    """
    if isinstance(pattern, Pattern):
        return pattern
    if isinstance(pattern, str):
        for kind in _KINDS:
            found = kind.parse(pattern)
            if found is not None:
                return found
    raise ValueError(
        f"`pattern` must be {', '.join(kind.names for kind in _KINDS)}, or a "
        f"`patterns.Pattern`. Received: pattern={pattern!r}"
    )
