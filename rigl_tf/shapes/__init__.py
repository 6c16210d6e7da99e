"""Mask shapes: which weights share one fate, and which share one budget.

A shape is orthogonal to the method and to the distribution of sparsities. It
cuts a kernel into *units*, sets of weights that are active or inactive
together (single weights, blocks, channels), and the units into *groups*, each
with a fixed number of active ones (all units of the kernel; M neighbours; the
inputs of one output unit). Sparsity s^l leaves `n - floor(s^l * n)` active
units in each group of n.

Updates drop the weakest units of the whole kernel, then refill each group with
its best candidates: counts per group are kept, and the drop fraction means what
it means without structure, even where groups are small.
"""

import re

from rigl_tf.shapes import base
from rigl_tf.shapes import groups
from rigl_tf.shapes import units
from rigl_tf.shapes.base import MaskShape
from rigl_tf.shapes.base import Unstructured
from rigl_tf.shapes.groups import ConstantFanIn
from rigl_tf.shapes.groups import NOfM
from rigl_tf.shapes.units import Block
from rigl_tf.shapes.units import Channel

__all__ = [
    "UNSTRUCTURED",
    "Block",
    "Channel",
    "ConstantFanIn",
    "MaskShape",
    "NOfM",
    "Unstructured",
    "get",
]

UNSTRUCTURED = base.Unstructured()


def get(shape):
    """Return a mask shape from its name.

    Args:
        shape: `MaskShape`, or "unstructured", "constant_fan_in", "channel"
            (output channels), "channel_in" (input channels), "2:4" (any N:M;
            "n:4" takes N from the sparsity), "block_4x1"; blocks and channels
            may end in "_sum" (default), "_mean" or "_max".

    Raises:
        ValueError: there is no such shape.
    """
    if isinstance(shape, base.MaskShape):
        return shape
    pooling = "(?:_(sum|mean|max))?"
    forms = (
        ("unstructured", lambda: UNSTRUCTURED),
        ("constant_fan_in", groups.ConstantFanIn),
        (r"(n|\d+):(\d+)(?:_axis(-?\d+))?", _n_of_m),
        (
            f"channel(_in)?{pooling}",
            lambda inputs, pooled: units.Channel(
                pooled or "sum", -2 if inputs else -1
            ),
        ),
        (
            rf"block_(\d+)x(\d+){pooling}",
            lambda a, b, pooled: units.Block((int(a), int(b)), pooled or "sum"),
        ),
    )
    for form, build in forms:
        found = re.fullmatch(form, shape) if isinstance(shape, str) else None
        if found:
            return build(*found.groups())
    raise ValueError(
        '`mask_shape` must be "unstructured", "constant_fan_in", "channel", '
        '"channel_in", "2:4" (N:M), "block_4x1" or a `shapes.MaskShape`. '
        f"Received: mask_shape={shape!r}"
    )


def _n_of_m(n, m, axis):
    return groups.NOfM(int(m), None if n == "n" else int(n), int(axis or -2))
