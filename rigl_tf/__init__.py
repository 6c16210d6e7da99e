"""Sparse training for Keras 3 on TensorFlow: RigL and its rivals.

    model = rigl_tf.sparsify(keras_model, sparsity=0.9)
    sparse = rigl_tf.SparseModel(model, rigl_tf.updaters.RigL())
    rigl_tf.strip(model).save("model.keras")

Names are loaded when they are first used, so that the command line can answer
before TensorFlow is imported. The classes that saved models hold are made known
to Keras as soon as both packages are imported, in either order.
"""

import importlib as _importlib
from importlib import util as _util
import json as _json
import os as _os
import pathlib as _pathlib
import sys as _sys

__version__ = "0.1.0"

# Public names -> the modules that define them.
_HOMES = {
    "count": "accounting",
    "sparsify": "layers.masking",
    "strip": "layers.masking",
    "summary": "layers.summary",
    "masked_kernels": "layers.kernel_masks",
    "Masked": "layers.masked",
    "MaskedModel": "layers.masked",
    "SparseModel": "training.sparse_model",
    "SparseSteps": "training.steps",
    "SparseTrainer": "training.sparse_trainer",
}
# Public modules -> where they are; the short name is what users write.
_MODULES = {
    "accounting": "accounting",
    "analysis": "analysis",
    "callbacks": "training.callbacks",
    "datasets": "datasets",
    "distributions": "masks.distributions",
    "experiment": "experiments.experiment",
    "hardware": "training.hardware.strategies",
    "initializers": "layers.initializers",
    "layers": "layers",
    "learning_rates": "training.learning_rates",
    "losses": "training.losses",
    "masks": "masks",
    "metrics": "training.metrics",
    "models": "models",
    "export": "export",
    "training": "training",
    "patterns": "masks.patterns",
    "plots": "analysis.plots",
    "schedules": "updaters.schedules",
    "sparse": "sparse",
    "updaters": "updaters",
}
# Modules of the classes that saved models name. What they import must be usable
# while it is being imported: importing a module of ours may import Keras.
_SERIALIZABLE = (
    "layers.masked",
    "sparse.blocks",
    "sparse.layers",
    "training.losses",
    "training.learning_rates",
)
__all__ = [*_HOMES, *_MODULES]


def _require_tensorflow_backend():
    """Raise ImportError if Keras runs, or would run, on another backend."""
    if "keras" in _sys.modules:
        _require_tensorflow(_sys.modules["keras"].backend.backend())
    else:
        _require_tensorflow(_configured_backend())


def _require_tensorflow(backend):
    if backend != "tensorflow":
        raise ImportError(
            "rigl_tf needs Keras on the TensorFlow backend. Received: backend "
            f"{backend!r}; set KERAS_BACKEND=tensorflow before importing keras"
        )


def _configured_backend():
    """Return the backend that Keras will take."""
    if _os.environ.get("KERAS_BACKEND"):
        return _os.environ["KERAS_BACKEND"]
    home = _os.path.expanduser("~")
    if not _os.access(home, _os.W_OK):  # Keras' rule, for users without a home
        home = "/tmp"
    home = _os.environ.get("KERAS_HOME", f"{home}/.keras")
    file = _pathlib.Path(_os.path.expanduser(home)) / "keras.json"
    try:
        settings = _json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return "tensorflow"
    if not isinstance(settings, dict):
        raise ImportError(
            "The settings of Keras must be a JSON object. Received: "
            f"{str(file)!r}, which holds a {type(settings).__name__}; mend or "
            "delete it"
        )
    return settings.get("backend", "tensorflow")


class _AfterKeras:
    """Finder that lets the import of Keras register our classes at its end."""

    def __init__(self):
        self._searching = False

    def find_spec(self, name, path=None, target=None):
        """Find Keras as if this were not here, and wrap its loader."""
        if name != "keras" or self._searching:
            return None
        self._searching = True
        try:
            spec = _util.find_spec(name)
        finally:
            self._searching = False
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_and_register(module):
                _require_tensorflow(_configured_backend())
                load(module)
                _sys.meta_path.remove(self)
                _register()

            spec.loader.exec_module = load_and_register
        return spec


def _register():
    """Import the classes that saved models hold, which registers them."""
    for name in _SERIALIZABLE:
        _importlib.import_module(f"rigl_tf.{name}")


def __getattr__(name):
    if name in __all__:
        # Not when the package is imported: the command line can then refuse
        # another backend on one line.
        _require_tensorflow_backend()
    if name in _MODULES:
        module = _importlib.import_module(f"rigl_tf.{_MODULES[name]}")
        globals()[name] = module
        return module
    if name in _HOMES:
        home = _importlib.import_module(f"rigl_tf.{_HOMES[name]}")
        globals()[name] = getattr(home, name)
        return globals()[name]
    raise AttributeError(f"module 'rigl_tf' has no attribute {name!r}")


def __dir__():
    own = [name for name in globals() if name.startswith("__")]
    return sorted([*__all__, *own])


if "keras" in _sys.modules:
    _require_tensorflow_backend()
    _register()
else:
    _sys.meta_path.insert(0, _AfterKeras())
