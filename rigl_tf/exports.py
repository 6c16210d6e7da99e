"""What a finished run leaves behind: result.json, model.keras, masks.npz."""

import json
import math
import os
import pathlib
import platform

import keras
import tensorflow as tf

from rigl_tf import mask_files
from rigl_tf import masking


def write_json(path, value):
    """Write a JSON file atomically."""
    path = pathlib.Path(path)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(temporary, path)


def sparsity_report(statistics):
    """Report target and achieved sparsity of each kernel and of all.

    Args:
        statistics: `callbacks.MaskStatistics` of the run.

    Returns:
        dictionary with "sparsity_achieved", "itop_rate" and "layers".
    """
    layers = statistics.layers()
    size = sum(math.prod(layer["shape"]) for layer in layers)
    n_active = sum(layer["n_active"] for layer in layers)
    return {
        "sparsity_achieved": 1 - n_active / size if size else 0.0,
        "itop_rate": statistics.itop_rate() if size else None,
        "layers": layers,
    }


def accounting_fields():
    """Name the fields that an account of operations and bytes will fill."""
    names = ("inference_flops", "inference_flops_ratio", "train_flops_ratio")
    return dict.fromkeys((*names, "model_bytes"))


def export(trainer, workdir):
    """Write model.keras, plain Keras, and masks.npz if there are masks.

    Args:
        trainer: `SparseTrainer`.
        workdir: directory for the files.

    Returns:
        dictionary with "file_bytes", the size of model.keras.
    """
    path = workdir / "model.keras"
    model = trainer.model
    (masking.strip(model) if trainer.kernels else model).save(path)
    if trainer.kernels:
        arrays = {item.path: item.mask.numpy() for item in trainer.kernels}
        mask_files.save(workdir / "masks.npz", arrays)
    return {"file_bytes": path.stat().st_size}


def versions():
    """Return the versions that a result depends on."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
