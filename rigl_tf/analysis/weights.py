"""The trained variables of a network as one vector, for analyses."""

from collections.abc import Mapping
import dataclasses
import math
import os
from typing import TypeAlias

import keras
import numpy as np

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.analysis import mask_measures
from rigl_tf.export import keras_file
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masking
from rigl_tf.layers import model_paths
from rigl_tf.layers import sparse_kernels
from rigl_tf.masks import storage


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """The trainable variables of a network, one after another.

    A mask says which of the n variables a sparse network trains: the active
    weights of masked kernels, and all others, such as biases.

    Attributes:
        model: the network as a dense Keras model, which computes its outputs.
        shapes: shape of each trainable variable, by its path, in the order of
            `model.trainable_variables`.
        vector: their values, float32, [n].
        trained: which of them are trained, bool, [n].
        kernels: paths of the kernels that have masks.
    """

    model: keras.Model
    shapes: Mapping[str, tuple[int, ...]]
    vector: np.ndarray
    trained: np.ndarray
    kernels: tuple[str, ...]

    @property
    def places(self) -> dict[str, slice]:
        """Where each variable lies in the vector, by path."""
        ends = np.cumsum([math.prod(s) for s in self.shapes.values()]).tolist()
        begins = [0, *ends]
        return {
            path: slice(begin, end)
            for path, begin, end in zip(self.shapes, begins, ends)
        }


# What analyses take as a network: a Keras model, or the directory of a run.
Given: TypeAlias = keras.Model | Weights | str | os.PathLike


def of_network(network: Given) -> Weights:
    """Return the trainable variables of a network as one vector.

    Args:
        network: dense or sparse Keras model, `SparseModel`, or the work
            directory of a finished run; `Weights` are returned as they are.

    Raises:
        TypeError: it is none of these.
        FileNotFoundError: the run is not finished.
        ValueError: it has no trainable variable, or a truly sparse kernel that
            is too large to be dense.
    """
    if isinstance(network, Weights):
        return network
    if isinstance(network, str | os.PathLike):
        return _of_run(network)
    model_paths.require_built(network, keras.Model)
    model = model_paths.inside_training(network)
    masks = masks_of(model)
    return _collect(masking.strip(model) if masks else model, masks)


def _of_run(directory: str | os.PathLike) -> Weights:
    """Read the trained network of a work directory, and its masks."""
    place = files.path(directory)
    if not (place / run_files.MODEL).exists():
        raise FileNotFoundError(
            "`network` must be a model, or the directory of a finished run. "
            f"Received: {str(directory)!r}, which has no {run_files.MODEL}"
        )
    model = keras_file.load(place / run_files.MODEL)
    if masks_of(model):  # of truly sparse layers that are too large
        return of_network(model)
    masks = place / run_files.MASKS
    return _collect(model, storage.load(masks) if masks.exists() else {})


def _collect(model: keras.Model, masks: Mapping[str, np.ndarray]) -> Weights:
    paths = {
        id(v): path for path, v in model_paths.variables_by_path(model).items()
    }
    variables = {paths[id(v)]: v for v in model.trainable_variables}
    if not variables:
        raise ValueError(
            "An analysis needs trainable variables. Received: "
            f"{model.name!r}, which has none"
        )
    shapes = {path: tuple(v.shape) for path, v in variables.items()}
    trained = [
        np.ravel(masks.get(path, np.ones(shape, bool)))
        for path, shape in shapes.items()
    ]
    values = [np.ravel(v.numpy()) for v in variables.values()]
    return Weights(
        model,
        shapes,
        np.concatenate(values).astype(np.float32),
        np.concatenate(trained),
        tuple(path for path in shapes if path in masks),
    )


def masks_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the masks of a sparse model; none for a dense one.

    Args:
        model: Keras model.

    Returns:
        A dictionary from the path of a kernel to a boolean array.
    """
    masked = kernel_masks.masked_kernels(model, optional=True)
    truly = sparse_kernels.sparse_kernels(model)
    return {item.path: item.mask.numpy() > 0 for item in masked} | {
        item.path: item.dense_mask() for item in truly
    }


def require_alike(first: Weights, second: Weights) -> None:
    """Require two networks with the same variables.

    Raises:
        ValueError: a variable differs; the message names the first.
    """
    if dict(first.shapes) == dict(second.shapes):
        return
    paths = [*first.shapes, *second.shapes]
    path = next(p for p in paths if first.shapes.get(p) != second.shapes.get(p))
    raise ValueError(
        "Two networks can be compared only if their variables have the same "
        f"names and shapes. Received: {path!r} of shape "
        f"{first.shapes.get(path)} and {second.shapes.get(path)}"
    )


def distance(first: Weights, second: Weights) -> float:
    """Return the Euclidean distance ||w_a - w_b||_2 of all variables."""
    difference = second.vector.astype(float) - first.vector
    return float(np.linalg.norm(difference))


def cosine(first: Weights, second: Weights) -> float:
    """Return the cosine of the angle between two vectors of weights."""
    a, b = first.vector.astype(float), second.vector.astype(float)
    product = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / product) if product else 0.0


def jaccard(first: Weights, second: Weights) -> float:
    """Return the Jaccard index of two sets of connections.

    `|A n B| / |A u B|` over the kernels that have a mask in either network: 1
    for equal masks.
    """
    if not first.kernels and not second.kernels:
        return 1.0
    places = first.places
    paths = dict.fromkeys([*first.kernels, *second.kernels])
    a, b = (
        np.concatenate([w.trained[places[path]] for path in paths])
        for w in (first, second)
    )
    return mask_measures.jaccard(a, b)
