"""Plain Keras files of trained models, written and loaded."""

import keras

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.export import packed
from rigl_tf.layers import masking
from rigl_tf.masks import storage


def load(path):
    """Load a saved Keras model.

    Args:
        path: of a .keras file.

    Raises:
        ValueError: Keras cannot load it.
    """
    files.require_file(files.path(path))  # Keras would wait for a pipe
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras and zipfile raise many kinds
        text = str(error).strip() or type(error).__name__
        raise ValueError(
            "A model must be a .keras file that Keras can load; modules of "
            f"your own layers are named with --import. Received: {str(path)!r} "
            f"({text.splitlines()[0][:200]})"
        ) from error


def export(trainer, workdir):
    """Write model.keras, plain Keras; masks.npz and packed.npz if sparse.

    Args:
        trainer: `SparseTrainer`.
        workdir: directory for the files.

    Returns:
        dictionary with "file_bytes", the size of model.keras, and
        "packed_bytes", that of packed.npz.
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
