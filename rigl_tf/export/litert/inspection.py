"""Describe how a LiteRT file stores its weights."""

import math
import typing

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from rigl_tf import text_tables
from rigl_tf.export.litert import model_file
from rigl_tf.export.litert import xnnpack

_TYPE_NAMES = {
    number: name.lower()
    for name, number in vars(schema.TensorType).items()
    if isinstance(number, int)
}
# Smaller constants, such as biases, are not listed.
_LEAST_SIZE = 64


def lines(data: bytes) -> list[str]:
    """Return a table of weights, and the report of `xnnpack`, as lines.

    Args:
        data: bytes of a LiteRT file.

    Raises:
        ValueError: they are not those of a LiteRT file.
    """
    file = model_file.ModelFile(data)
    rows = [
        row
        for graph in file.graphs
        for tensor in graph.tensors
        if (row := _row(file, tensor)) is not None
    ]
    header = ("weights", "shape", "type", "zeros", "stored as", "bytes")
    found = [text_tables.aligned(header, rows)] if rows else []
    return [*found, *xnnpack.judge(data).lines()]


def _row(
    file: model_file.ModelFile, tensor: typing.Any
) -> tuple[str, ...] | None:
    """Return the cells of a constant with two axes or more."""
    data = file.model.buffers[tensor.buffer].data
    is_weight = tensor.type in model_file.WEIGHT_TYPES
    shape = tuple(() if tensor.shape is None else map(int, tensor.shape))
    size = math.prod(shape)
    if data is None or not is_weight or len(shape) < 2 or size < _LEAST_SIZE:
        return None
    encoding, n_bytes = "dense", len(data)
    if tensor.sparsity is not None:
        is_blocks = tensor.sparsity.blockMap is not None
        encoding = "1x4 blocks" if is_blocks else "csr"
        for axis in tensor.sparsity.dimMetadata:
            for vector in (axis.arraySegments, axis.arrayIndices):
                if vector is not None:
                    n_bytes += np.asarray(vector.values).nbytes
    return (
        model_file.text(tensor.name),
        " x ".join(map(str, shape)),
        _TYPE_NAMES[tensor.type],
        f"{1 - file.n_active(tensor) / size:.3f}",
        encoding,
        f"{n_bytes:,}",
    )
