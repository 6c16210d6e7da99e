"""Mask updaters: the methods of sparse training behind one interface.

A method is a dataclass that says when masks change and scores connections for
dropping and growing; selection, weights and optimizer slots are handled by the
code that all methods share (`masks.drop_and_grow`, `steps.SparseSteps`). Write
your own by overriding the two scores of `DropAndGrow`.
"""

from rigl_tf.updaters.base import MaskChange
from rigl_tf.updaters.base import MaskUpdater
from rigl_tf.updaters.base import all_finite
from rigl_tf.updaters.drop_and_grow import DropAndGrow
from rigl_tf.updaters.rigl import RigL
from rigl_tf.updaters.set import SET
from rigl_tf.updaters.snfs import SNFS
from rigl_tf.updaters.snip import SNIP
from rigl_tf.updaters.static import Static

__all__ = [
    "MaskChange",
    "MaskUpdater",
    "DropAndGrow",
    "RigL",
    "SET",
    "SNFS",
    "SNIP",
    "Static",
    "all_finite",
]
