"""Analyses of sparse networks: paths, Hessians, gradients, agreement, masks.

Names are loaded when they are first used, since most need TensorFlow.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from rigl_tf.analysis.disagreement import agreement as agreement
    from rigl_tf.analysis.flow import gradient_flow as gradient_flow
    from rigl_tf.analysis.mask_measures import measure_masks as measure_masks
    from rigl_tf.analysis.paths import bezier as bezier
    from rigl_tf.analysis.paths import interpolate as interpolate
    from rigl_tf.analysis.signals import signal as signal
    from rigl_tf.analysis.spectrum import hessian as hessian
    from rigl_tf.analysis.weights import of_network as of_network

# Public names -> the modules that define them.
_HOMES = {
    "agreement": "disagreement",
    "bezier": "paths",
    "gradient_flow": "flow",
    "hessian": "spectrum",
    "interpolate": "paths",
    "measure_masks": "mask_measures",
    "of_network": "weights",
    "signal": "signals",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
