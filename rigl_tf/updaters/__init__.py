"""Mask updaters: the methods of sparse training, behind one interface.

A method is a dataclass that says when masks change and scores connections for
dropping and growing; selection, weights and optimizer slots are handled by the
code that all methods share (`rigl_tf.patterns`, `rigl_tf.SparseSteps`). Write
your own by overriding the two scores of `DropAndGrow`.
"""

import inspect
import typing

import keras

from rigl_tf.updaters.acdc import ACDC
from rigl_tf.updaters.base import MaskUpdater
from rigl_tf.updaters.dnw import DNW
from rigl_tf.updaters.drop_and_grow import DropAndGrow
from rigl_tf.updaters.granet import GraNet
from rigl_tf.updaters.grasp import GraSP
from rigl_tf.updaters.gse import GSE
from rigl_tf.updaters.mest import MEST
from rigl_tf.updaters.one_shot import OneShot
from rigl_tf.updaters.protocol import MaskChange
from rigl_tf.updaters.protocol import Needs
from rigl_tf.updaters.protocol import Pair
from rigl_tf.updaters.protocol import SparseChange
from rigl_tf.updaters.pruning import Pruning
from rigl_tf.updaters.rigl import RigL
from rigl_tf.updaters.rigl import RigLInverted
from rigl_tf.updaters.set import SET
from rigl_tf.updaters.snfs import SNFS
from rigl_tf.updaters.snip import SNIP
from rigl_tf.updaters.srigl import SRigL
from rigl_tf.updaters.state import all_finite
from rigl_tf.updaters.state import state_variable
from rigl_tf.updaters.static import Static
from rigl_tf.updaters.static import StaticReinit
from rigl_tf.updaters.straight_through import StraightThrough
from rigl_tf.updaters.top_kast import TopKAST

__all__ = [
    "ACDC",
    "DNW",
    "DropAndGrow",
    "GSE",
    "GraNet",
    "GraSP",
    "MEST",
    "MaskChange",
    "MaskUpdater",
    "Needs",
    "OneShot",
    "Pair",
    "Pruning",
    "RigL",
    "RigLInverted",
    "SET",
    "SNFS",
    "SNIP",
    "SRigL",
    "SparseChange",
    "Static",
    "StaticReinit",
    "StraightThrough",
    "TopKAST",
    "all_finite",
    "get",
    "state_variable",
]


def get(
    identifier: str | dict[str, typing.Any] | MaskUpdater | None,
    **kwargs: typing.Any,
) -> MaskUpdater | None:
    """Return a mask updater from a name, a configuration or an instance.

        updaters.get("rigl", update_interval=50)

    Args:
        identifier: name of a class in any spelling ("rigl", "RigL",
            "static_reinit"), a configuration of Keras' serialization (with
            "class_name" and "config"), a `MaskUpdater`, or None for dense
            training.
        **kwargs: fields of the updater, with a name.

    Returns:
        `MaskUpdater`, or None.

    Raises:
        ValueError: there is no such method.
        TypeError: it is none of these, or `kwargs` come without a name.
    """
    if isinstance(identifier, str):
        return _by_name(identifier)(**kwargs)
    if kwargs:
        raise TypeError(
            "`updaters.get` takes fields with the name of a method. Received: "
            f"{identifier!r} with {', '.join(kwargs)}"
        )
    if isinstance(identifier, dict):
        if "module" not in identifier:  # Keras' short form
            cls = _by_name(identifier.get("class_name", ""))
            return cls.from_config(identifier.get("config", {}))
        identifier = keras.saving.deserialize_keras_object(identifier)
    if identifier is None or isinstance(identifier, MaskUpdater):
        return identifier
    if inspect.isclass(identifier) and issubclass(identifier, MaskUpdater):
        name = identifier.__name__
        raise TypeError(
            f"`updater` must be an instance: write `{name}()`, with what it "
            f"needs in the parentheses. Received: the class {name}"
        )
    raise TypeError(
        "`updater` must be a `MaskUpdater`, a name such as "
        f'"rigl", a configuration, or None. Received: {identifier!r}'
    )


def _by_name(name):
    """Return the class of a method; ignores case and underscores."""
    classes = {
        cls.__name__.lower(): cls
        for cls in map(globals().get, __all__)
        if inspect.isclass(cls)
        and issubclass(cls, MaskUpdater)
        and not inspect.isabstract(cls)
        and cls is not MaskUpdater
    }
    found = classes.get(str(name).lower().replace("_", ""))
    if found is None:
        raise ValueError(
            "`updater` must name a method: "
            f"{', '.join(cls.__name__ for cls in classes.values())}. "
            f"Received: {name!r}"
        )
    return found
