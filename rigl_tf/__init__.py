"""Sparse training for Keras 3 on TensorFlow: RigL and its rivals.

    model = rigl_tf.sparsify(keras_model, sparsity=0.9)
    sparse = rigl_tf.SparseModel(model, rigl_tf.updaters.RigL(...))
    rigl_tf.strip(model).save("model.keras")

Names are loaded when they are first used, so that the command line can answer
before TensorFlow is imported.
"""

import importlib
import json
import os
import pathlib
import sys

__version__ = "0.1.0"

_HOMES = {
    "count": "accounting",
    "sparsify": "masking",
    "strip": "masking",
    "summary": "reports",
    "masked_kernels": "masking",
    "SparseModel": "keras_fit",
    "SparseTrainer": "trainer",
    "Masked": "layers",
    "MaskedModel": "layers",
}
_MODULES = (
    "accounting",
    "callbacks",
    "datasets",
    "distributions",
    "experiment",
    "layers",
    "masking",
    "masks",
    "models",
    "packed",
    "schedules",
    "steps",
    "trainer",
    "updaters",
)
__all__ = [*_HOMES, *_MODULES]


def _require_tensorflow_backend():
    """Raise if Keras runs, or would run, on another backend."""
    if "keras" in sys.modules:
        backend = sys.modules["keras"].backend.backend()
    else:
        backend = os.environ.get("KERAS_BACKEND") or _configured_backend()
    if backend != "tensorflow":
        raise ImportError(
            "rigl_tf needs Keras on the TensorFlow backend. Received: backend "
            f"{backend!r}; set KERAS_BACKEND=tensorflow before importing keras"
        )


def _configured_backend():
    # As Keras itself; unlike `Path.expanduser`, without a home too.
    home = pathlib.Path(
        os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    )
    try:
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "tensorflow"
    if not isinstance(settings, dict):
        return "tensorflow"
    return settings.get("backend", "tensorflow")


if "keras" in sys.modules:
    _require_tensorflow_backend()


def __getattr__(name):
    # Not yet when the package is imported: the command line shall be able to
    # refuse another backend on one line.
    if name != "cli" and "rigl_tf.cli" not in sys.modules:
        _require_tensorflow_backend()
    if name in _MODULES:
        return importlib.import_module(f"rigl_tf.{name}")
    if name in _HOMES:
        home = importlib.import_module(f"rigl_tf.{_HOMES[name]}")
        globals()[name] = getattr(home, name)
        return globals()[name]
    raise AttributeError(f"module 'rigl_tf' has no attribute {name!r}")
