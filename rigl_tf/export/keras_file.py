"""Write the files of a trained model, and load Keras files."""

import os
import pathlib
from typing import TYPE_CHECKING

import keras

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.export import packed
from rigl_tf.layers import masking
from rigl_tf.masks import storage

if TYPE_CHECKING:
    from rigl_tf.training import sparse_trainer


def load(path: str | os.PathLike) -> keras.Model:
    """Load a saved Keras model.

    Args:
        path: path of a .keras file.

    Raises:
        ValueError: if Keras cannot load it.
    """
    files.require_file(files.path(path))  # Keras would block on a pipe
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras and zipfile raise errors of many types
        text = str(error).strip() or type(error).__name__
        raise ValueError(
            "A model must be a .keras file that Keras can load; name the "
            f"modules of custom layers with --import. Received: {str(path)!r} "
            f"({text.splitlines()[0][:200]})"
        ) from error


def export(
    trainer: "sparse_trainer.SparseTrainer", workdir: pathlib.Path
) -> dict[str, int]:
    """Write model.keras in plain Keras; masks.npz and packed.npz if sparse.

    Args:
        trainer: trainer of the model.
        workdir: directory for the files.

    Returns:
        A dictionary with "file_bytes", the size of model.keras, and for a
        sparse model "packed_bytes", the size of packed.npz.
    """
    path = workdir / run_files.MODEL
    model = trainer.model
    if trainer.kernels:
        model = masking.strip(model)
    with files.replacing(path) as temporary:
        model.save(temporary)
    if not trainer.kernels:
        return {"file_bytes": files.size(path)}
    arrays = {item.path: item.mask.numpy() for item in trainer.kernels}
    storage.save(workdir / run_files.MASKS, arrays)
    packed.save(workdir / run_files.PACKED, model)
    return {
        "file_bytes": files.size(path),
        "packed_bytes": files.size(workdir / run_files.PACKED),
    }
