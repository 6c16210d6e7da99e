"""The methods under test: one row each; every battery runs over all rows."""

import dataclasses
import zlib

from rigl_tf import updaters

_WINDOW = {"update_interval": 5, "update_end_step": 20, "drop_fraction": 0.5}
_PRUNE = {
    "update_begin_step": 2,
    "update_end_step": 17,
    "update_interval": 5,
}
SHAPES = (
    "unstructured",
    "n:2",
    "block_2x2",
    "block_4x3_max",
    "channel",
    "channel_in",
    "constant_fan_in",
)
_ONE_BUDGET = ("unstructured",)
_FIVES = (5, 10, 15, 20)
_FIVES_AND_0 = (0, *_FIVES)
_ALWAYS = tuple(range(23))
# Of runs that are compared over several devices.
N_STEPS = 25


def number_of(method):
    """Return a number that depends on the name of a method alone."""
    return zlib.crc32(method.name.encode())


@dataclasses.dataclass(frozen=True)
class Method:
    """A method and what it promises.

    Attributes:
        name: name of its gin file.
        build: function that returns the updater.
        updates: steps of its mask updates in a run of 22 steps.
        counts: what has, at the end, as many ones as a fresh mask: "kernel"
            (each of them), "total", "pruned" (each, by the rule of pruning),
            "pruned_total", or "fan_in" (all inputs of all living neurons).
        shapes: patterns that apply.
    """

    name: str
    build: object
    updates: tuple[int, ...]
    counts: str = "kernel"
    shapes: tuple[str, ...] = SHAPES


def _moving(cls, **kwargs):
    return lambda: cls(**{**_WINDOW, **kwargs})


METHODS = [
    Method("static", updaters.Static, ()),
    Method("static_reinit", _moving(updaters.StaticReinit), _FIVES),
    Method("set", _moving(updaters.SET), _FIVES),
    Method(
        "set_itop",
        _moving(updaters.SET, update_end_step=22),
        _FIVES,
    ),
    Method("mest", _moving(updaters.MEST), _FIVES_AND_0),
    Method("rigl", _moving(updaters.RigL), _FIVES_AND_0),
    Method(
        "rigl_itop",
        _moving(updaters.RigL, update_end_step=22),
        _FIVES_AND_0,
    ),
    Method("gse", _moving(updaters.GSE), _FIVES_AND_0),
    Method("rigl_inverted", _moving(updaters.RigLInverted), _FIVES_AND_0),
    Method(
        "rigl_sm",
        _moving(updaters.RigL, redistribution="momentum"),
        _FIVES_AND_0,
        "total",
        _ONE_BUDGET,
    ),
    Method(
        "rigl_sg",
        _moving(updaters.RigL, redistribution="gradient"),
        _FIVES_AND_0,
        "total",
        _ONE_BUDGET,
    ),
    Method(
        "srigl",
        _moving(updaters.SRigL),
        _FIVES_AND_0,
        "fan_in",
        ("constant_fan_in",),
    ),
    Method("snfs", _moving(updaters.SNFS), _FIVES),
    Method(
        "snfs_momentum",
        _moving(updaters.SNFS, redistribution="momentum"),
        _FIVES,
        "total",
        _ONE_BUDGET,
    ),
    Method("snip", updaters.SNIP, (0,)),
    Method("grasp", updaters.GraSP, (0,)),
    Method("one_shot_magnitude", lambda: updaters.OneShot(prune_step=5), (5,)),
    Method(
        "one_shot_saliency",
        lambda: updaters.OneShot(prune_step=5, score="saliency"),
        (5,),
    ),
    Method(
        "one_shot_random",
        lambda: updaters.OneShot(prune_step=5, score="random"),
        (5,),
    ),
    Method(
        "pruning",
        lambda: updaters.Pruning(**_PRUNE),
        (2, 7, 12, 17),
        "pruned",
    ),
    Method(
        "pruning_global",
        lambda: updaters.Pruning(**_PRUNE, scope="global"),
        (2, 7, 12, 17),
        "pruned_total",
        _ONE_BUDGET,
    ),
    Method("granet", _moving(updaters.GraNet), _FIVES_AND_0, "pruned"),
    Method("acdc", lambda: updaters.ACDC(**_PRUNE), (2, 7, 12, 17)),
    Method("straight_through", updaters.StraightThrough, _ALWAYS),
    Method(
        "sr_ste", lambda: updaters.StraightThrough(refinement=0.01), _ALWAYS
    ),
    Method("dnw", updaters.DNW, _ALWAYS),
    Method(
        "top_kast",
        lambda: updaters.TopKAST(update_interval=5, backward_ratio=0.5),
        _FIVES_AND_0,
    ),
]
BY_NAME = {method.name: method for method in METHODS}
# One shape for each method, so that batteries that are slow see them all.
# By name, so that a new row changes no other.
SOME_SHAPE = [
    (method, method.shapes[number_of(method) % len(method.shapes)])
    for method in METHODS
]


def _one_of_each_need(rows):
    """Return one row of each class and of what it needs for an update."""
    found = {}
    for method, pattern in rows:
        updater = method.build()
        found.setdefault((type(updater), updater.needs), (method, pattern))
    return list(found.values())


# What a checkpoint holds, and what replicas tell each other, depend on no more.
EACH_NEED = _one_of_each_need(SOME_SHAPE)
# One of each kind, for batteries of which the rest is slow.
SAMPLE = (
    "set",
    "rigl",
    "rigl_sm",
    "srigl",
    "snfs",
    "grasp",
    "pruning_global",
    "top_kast",
)
# By what workers tell each other: nothing, gradients at updates, averages of
# gradients at each step, products with the Hessian.
SHARED = [
    (BY_NAME[name], "unstructured")
    for name in ("set", "rigl_sm", "snfs", "grasp")
]
EACH_SHAPE = [(m, shape) for m in METHODS for shape in m.shapes]
