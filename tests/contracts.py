"""The methods under test: one row each; every battery runs over all rows."""

import dataclasses

from rigl_tf import updaters

_WINDOW = {"update_interval": 5, "update_end_step": 20, "drop_fraction": 0.5}


@dataclasses.dataclass(frozen=True)
class Method:
    """A method and what it promises.

    Attributes:
        name: name of its gin file.
        build: function that returns the updater.
        updates: steps of its mask updates in a run of 22 steps.
    """

    name: str
    build: object
    updates: tuple[int, ...]


METHODS = [
    Method("static", updaters.Static, ()),
    Method("set", lambda: updaters.SET(**_WINDOW), (5, 10, 15, 20)),
    Method("rigl", lambda: updaters.RigL(**_WINDOW), (0, 5, 10, 15, 20)),
    Method("snfs", lambda: updaters.SNFS(**_WINDOW), (5, 10, 15, 20)),
    Method("snip", updaters.SNIP, (0,)),
]
