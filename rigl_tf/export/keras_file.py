"""Write the files of a trained model, and load Keras files."""

import os
import pathlib
from typing import TYPE_CHECKING

import keras

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.export import compact
from rigl_tf.layers import masking
from rigl_tf.masks import storage
from rigl_tf.sparse import csr_files

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
    """Write model.keras; if sparse, also masks.npz and model.safetensors.

    model.keras is plain Keras. Truly sparse kernels are also written as
    sparse/PATH.npz for SciPy. If one is too large to be dense, model.keras
    keeps the sparse layers, and needs rigl_tf.

    Args:
        trainer: trainer of the model.
        workdir: directory for the files.

    Returns:
        A dictionary with "file_bytes", the size of model.keras, and for a
        sparse model "compact_bytes", the size of model.safetensors.
    """
    path = workdir / run_files.MODEL
    model, truly = trainer.model, trainer.sparse_kernels
    if trainer.kernels or truly:
        model = masking.strip(model, keep_sparse=True)
        compact.save_compact(workdir / run_files.COMPACT, model)
    if truly and all(kernel.fits_densely for kernel in truly):
        model = masking.strip(model)
    with files.replacing(path) as temporary:
        model.save(temporary)
    sizes = {"file_bytes": files.size(path)}
    masks = trainer.dense_masks()
    if masks:
        storage.save(workdir / run_files.MASKS, masks)
    if truly:
        (workdir / run_files.SPARSE_DIRECTORY).mkdir(exist_ok=True)
    for kernel in truly:
        name = kernel.path.replace("/", ".") + ".npz"
        place = workdir / run_files.SPARSE_DIRECTORY / name
        csr_files.save_csr(place, kernel.layer)
    if trainer.kernels or truly:
        sizes["compact_bytes"] = files.size(workdir / run_files.COMPACT)
    return sizes
