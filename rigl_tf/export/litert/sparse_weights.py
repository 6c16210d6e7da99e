"""Store sparse weights of a LiteRT file as their active values.

TensorFlow's converter has an option for sparsity. It writes files that answer
NaN (float16) or do not load (int8), and takes 1x4 blocks for masks without
blocks, so it is not used: models are converted densely, and their constant
weights are replaced here.

Weights of fully connected layers go straight to LiteRT's sparse kernels, which
are faster for small batches. Others are stored sparse and made dense when the
file is loaded (operator DENSIFY); on ARM, XNNPACK then multiplies 1x1
convolutions sparsely, see `xnnpack`.
"""

from collections.abc import Iterator
import copy
import dataclasses
import typing

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from rigl_tf.export.litert import model_file

# Fewer zeros do not pay for their indices.
_LEAST_ZEROS = 0.4
# With more rows of inputs, LiteRT's kernel for single weights is slower than
# the dense one.
_MOST_ROWS = 4
# LiteRT has a kernel for blocks of 1 output and 4 inputs.
_BLOCK = 4
# The first version of FULLY_CONNECTED that takes sparse weights.
_FC_VERSION = 8
_FC = model_file.OPERATORS.FULLY_CONNECTED
_CONVOLUTION = model_file.OPERATORS.CONV_2D
_DEQUANTIZE = model_file.OPERATORS.DEQUANTIZE


@dataclasses.dataclass(frozen=True)
class StoredWeight:
    """How one weight tensor of a LiteRT file is stored.

    Attributes:
        name: name of the tensor.
        shape: its shape; outputs come first.
        zeros: fraction of zeros.
        encoding: "csr" for single values by rows, or "1x4" for blocks.
        reaches_kernel: whether a sparse kernel multiplies it; otherwise it is
            made dense at loading.
        bytes: size of values and indices.
        dense_bytes: size of the dense tensor.
    """

    name: str
    shape: tuple[int, ...]
    zeros: float
    encoding: str
    reaches_kernel: bool
    bytes: int
    dense_bytes: int


def encode(data: bytes) -> tuple[bytes, list[StoredWeight]]:
    """Return a LiteRT file whose sparse weights are stored sparsely.

    Args:
        data: bytes of a file with dense weights.

    Returns:
        The bytes of the new file, and what was stored sparsely.
    """
    file = model_file.ModelFile(data)
    stored = [
        weight for graph in file.graphs for weight in _encode_graph(file, graph)
    ]
    return file.encode(), stored


def _encode_graph(
    file: model_file.ModelFile, graph: typing.Any
) -> Iterator[StoredWeight]:
    """Encode the weights of one graph."""
    densifying = []
    for index, users in _weights(file, graph).items():
        tensor = graph.tensors[index]
        values = _values(file, tensor)
        if values is None or np.mean(values == 0) < _LEAST_ZEROS:
            continue
        connected = all(file.code(user) == _FC for user in users)
        if connected and values.dtype == np.int8:
            continue  # XNNPACK refuses to load sparse int8 layers
        is_direct = connected and tensor.type == schema.TensorType.FLOAT32
        n_rows = max(_rows(graph, user) for user in users)
        sparse = _best(values, blocks=is_direct)
        if sparse.encoding == "csr" and n_rows > _MOST_ROWS:
            is_direct = False
        if sparse.bytes >= values.nbytes:
            continue
        _free(file, tensor)
        if is_direct:
            tensor.buffer = file.add_buffer(sparse.values)
            tensor.sparsity = sparse.parameters
            for user in users:
                user.opcodeIndex = file.opcode(_FC, _FC_VERSION)
        else:
            densifying.append(_densify(file, graph, index, sparse))
        yield StoredWeight(
            model_file.text(tensor.name),
            values.shape,
            float(np.mean(values == 0)),
            sparse.encoding,
            is_direct,
            sparse.bytes,
            values.nbytes,
        )
    graph.operators = densifying + list(graph.operators)


def _weights(
    file: model_file.ModelFile, graph: typing.Any
) -> dict[int, list[typing.Any]]:
    """Map weight tensors to the operators that multiply by them alone."""
    producers = {i: o for o in graph.operators for i in o.outputs}
    users: dict[int, list[typing.Any]] = {}
    others: set[int] = set()
    for operator in graph.operators:
        takes = file.code(operator) in (_FC, _CONVOLUTION)
        for place, index in enumerate(operator.inputs):
            producer = producers.get(index)
            if producer is not None and file.code(producer) == _DEQUANTIZE:
                index = producer.inputs[0]
            if takes and place == 1:
                users.setdefault(int(index), []).append(operator)
            elif file.code(operator) != _DEQUANTIZE:
                others.add(int(index))
    others |= {int(index) for index in graph.outputs}
    return {i: found for i, found in users.items() if i not in others}


def _values(
    file: model_file.ModelFile, tensor: typing.Any
) -> np.ndarray | None:
    """Return the weights, or None if there are none to encode."""
    values = file.constant(tensor)
    if values is None or tensor.type not in model_file.WEIGHT_TYPES:
        return None
    points = getattr(tensor.quantization, "zeroPoint", None)
    if values.dtype == np.int8 and points is not None and np.any(points):
        return None  # a stored 0 is not a weight of 0
    return values


def _rows(graph: typing.Any, operator: typing.Any) -> float:
    """Return the rows of inputs of a layer; infinity if they may vary."""
    tensor = graph.tensors[operator.inputs[0]]
    shape = tensor.shape if tensor.shape is not None else []
    if any(length < 0 for length in _signature(tensor)):
        return float("inf")
    return float(np.prod(shape[:-1], initial=1))


def _signature(tensor: typing.Any) -> typing.Any:
    return () if tensor.shapeSignature is None else tensor.shapeSignature


def _free(file: model_file.ModelFile, tensor: typing.Any) -> None:
    """Delete dense bytes, unless another tensor shares them."""
    n_users = sum(
        other.buffer == tensor.buffer
        for graph in file.graphs
        for other in graph.tensors
    )
    if n_users == 1:
        file.model.buffers[tensor.buffer].data = None


def _densify(
    file: model_file.ModelFile,
    graph: typing.Any,
    index: int,
    sparse: "_Encoded",
) -> typing.Any:
    """Return an operator that makes sparse weights dense at loading."""
    tensor = graph.tensors[index]
    stored = copy.copy(tensor)
    stored.buffer = file.add_buffer(sparse.values)
    stored.sparsity = sparse.parameters
    stored.name = (model_file.text(tensor.name) + "/sparse").encode()
    graph.tensors.append(stored)
    tensor.buffer = 0
    inputs = [len(graph.tensors) - 1]
    return file.new_operator(model_file.OPERATORS.DENSIFY, inputs, [index])


@dataclasses.dataclass(frozen=True)
class _Encoded:
    """Sparse weights: values in order, and the schema's description."""

    encoding: str
    values: np.ndarray
    parameters: typing.Any
    bytes: int


def _best(values: np.ndarray, blocks: bool) -> _Encoded:
    """Return the encoding that LiteRT multiplies by fastest.

    Blocks are taken if at least half of what they hold is not zero.
    """
    if blocks and values.shape[1] % _BLOCK == 0:
        found = _blocks(values)
        if 2 * np.count_nonzero(values) >= found.values.size:
            return found
    return _csr(values)


def _csr(values: np.ndarray) -> _Encoded:
    """Encode single values, by rows of the last axis."""
    rows = values.reshape(-1, values.shape[-1])
    places, columns = np.nonzero(rows)
    sizes = values.shape[:-1]
    return _encoded("csr", rows[places, columns], sizes, places, columns)


def _blocks(values: np.ndarray) -> _Encoded:
    """Encode blocks of four inputs of one output."""
    cut = values.reshape(len(values), -1, _BLOCK)
    places, columns = np.nonzero((cut != 0).any(axis=-1))
    sizes = values.shape[:1]
    return _encoded("1x4", cut[places, columns], sizes, places, columns)


def _encoded(encoding, kept, sizes, places, columns):
    """Describe what is kept: places are rows of all axes but the last."""
    n_rows = int(np.prod(sizes, initial=1))
    counts = np.bincount(places, minlength=n_rows)
    segments = np.concatenate([[0], np.cumsum(counts)])
    parameters = schema.SparsityParametersT()
    dimensions = [_dense_axis(size) for size in sizes]
    dimensions.append(_sparse_axis(segments, columns))
    if encoding == "1x4":
        dimensions.append(_dense_axis(_BLOCK))
        parameters.blockMap = np.array([len(sizes)], np.int32)
    parameters.dimMetadata = dimensions
    parameters.traversalOrder = np.arange(len(dimensions), dtype=np.int32)
    n_bytes = kept.nbytes + sum(
        _smallest(array).nbytes for array in (segments, columns)
    )
    return _Encoded(encoding, kept, parameters, n_bytes)


def _dense_axis(size: int) -> typing.Any:
    axis = schema.DimensionMetadataT()
    axis.format = schema.DimensionType.DENSE
    axis.denseSize = int(size)
    return axis


def _sparse_axis(segments: np.ndarray, indices: np.ndarray) -> typing.Any:
    axis = schema.DimensionMetadataT()
    axis.format = schema.DimensionType.SPARSE_CSR
    axis.arraySegmentsType, axis.arraySegments = _vector(segments)
    axis.arrayIndicesType, axis.arrayIndices = _vector(indices)
    return axis


def _vector(array: np.ndarray) -> tuple[int, typing.Any]:
    """Return an array in the smallest type of index that the schema has."""
    small = _smallest(array)
    name = {1: "Uint8Vector", 2: "Uint16Vector", 4: "Int32Vector"}[
        small.itemsize
    ]
    vector = getattr(schema, f"{name}T")()
    vector.values = small
    return getattr(schema.SparseIndexVector, name), vector


def _smallest(array: np.ndarray) -> np.ndarray:
    largest = array.max(initial=0)
    for dtype in (np.uint8, np.uint16):
        if largest <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array.astype(np.int32)
