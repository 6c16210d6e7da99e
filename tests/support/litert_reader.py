"""Read weights of a LiteRT file by the rules of its format alone."""

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

TYPES = {0: np.float32, 1: np.float16, 9: np.int8}


def weights(data):
    """Map names of tensors to dense arrays, for sparse tensors of a file."""
    model = schema.Model.GetRootAs(data, 0)
    found = {}
    for g in range(model.SubgraphsLength()):
        graph = model.Subgraphs(g)
        for t in range(graph.TensorsLength()):
            tensor = graph.Tensors(t)
            if tensor.Sparsity() is None:
                continue
            raw = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
            values = np.frombuffer(raw, TYPES[tensor.Type()])
            shape = tuple(map(int, tensor.ShapeAsNumpy()))
            found[tensor.Name().decode()] = dense(
                tensor.Sparsity(), values, shape
            )
    return found


def dense(sparsity, values, shape):
    """Follow segments and indices, axis by axis."""
    block = [sparsity.BlockMap(i) for i in range(sparsity.BlockMapLength())]
    array = np.zeros(shape, values.dtype)
    n_axes = sparsity.DimMetadataLength()
    assert [sparsity.TraversalOrder(i) for i in range(n_axes)] == list(
        range(n_axes)
    )
    remaining = iter(values)

    def visit(axis, position, node):
        if axis == n_axes:
            place = list(position[: len(shape)])
            for inner, outer in enumerate(block):
                size = sparsity.DimMetadata(len(shape) + inner).DenseSize()
                place[outer] *= size
                place[outer] += position[len(shape) + inner]
            array[tuple(place)] = next(remaining)
            return
        metadata = sparsity.DimMetadata(axis)
        if metadata.Format() == schema.DimensionType.DENSE:
            size = metadata.DenseSize()
            for i in range(size):
                visit(axis + 1, (*position, i), node * size + i)
            return
        segments, indices = vectors(metadata)
        for k in range(segments[node], segments[node + 1]):
            visit(axis + 1, (*position, int(indices[k])), k)

    visit(0, (), 0)
    assert next(remaining, None) is None
    return array


def vectors(metadata):
    """Return segments and indices of a sparse axis."""
    kinds = {
        schema.SparseIndexVector.Uint8Vector: schema.Uint8Vector,
        schema.SparseIndexVector.Uint16Vector: schema.Uint16Vector,
        schema.SparseIndexVector.Int32Vector: schema.Int32Vector,
    }
    found = []
    for kind, table in (
        (metadata.ArraySegmentsType(), metadata.ArraySegments()),
        (metadata.ArrayIndicesType(), metadata.ArrayIndices()),
    ):
        vector = kinds[kind]()
        vector.Init(table.Bytes, table.Pos)
        found.append([vector.Values(i) for i in range(vector.ValuesLength())])
    return found
