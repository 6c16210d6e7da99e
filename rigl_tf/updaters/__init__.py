"""Mask updaters: the methods of sparse training behind one interface.

A method is a dataclass that says when masks change and scores connections for
dropping and growing; selection, weights and optimizer slots are handled by the
code that all methods share (`rigl_tf.shapes`, `steps.SparseSteps`). Write your
own by overriding the two scores of `DropAndGrow`.
"""

from rigl_tf.updaters.acdc import ACDC
from rigl_tf.updaters.base import MaskChange
from rigl_tf.updaters.base import MaskUpdater
from rigl_tf.updaters.base import all_finite
from rigl_tf.updaters.base import state_variable
from rigl_tf.updaters.drop_and_grow import DropAndGrow
from rigl_tf.updaters.granet import GraNet
from rigl_tf.updaters.mest import MEST
from rigl_tf.updaters.one_shot import SNIP
from rigl_tf.updaters.one_shot import GraSP
from rigl_tf.updaters.one_shot import OneShot
from rigl_tf.updaters.pruning import Pruning
from rigl_tf.updaters.rigl import RigL
from rigl_tf.updaters.rigl import RigLInverted
from rigl_tf.updaters.set import SET
from rigl_tf.updaters.snfs import SNFS
from rigl_tf.updaters.srigl import SRigL
from rigl_tf.updaters.static import Static
from rigl_tf.updaters.static import StaticReinit
from rigl_tf.updaters.straight_through import DNW
from rigl_tf.updaters.straight_through import StraightThrough
from rigl_tf.updaters.straight_through import TopKAST

__all__ = [
    "ACDC",
    "DNW",
    "DropAndGrow",
    "GraNet",
    "GraSP",
    "MEST",
    "MaskChange",
    "MaskUpdater",
    "OneShot",
    "Pruning",
    "RigL",
    "RigLInverted",
    "SET",
    "SNFS",
    "SNIP",
    "SRigL",
    "Static",
    "StaticReinit",
    "StraightThrough",
    "TopKAST",
    "all_finite",
    "state_variable",
]
