"""What one TensorFlow operation costs: multiplications and additions.

A dot product of length n counts n multiplications and n additions: hardware
accumulates into zero. Divisions count as multiplications, subtractions as
additions. Comparisons (ReLU, max-pooling), functions of one number (exponential,
square root) and whatever only moves data count nothing.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one operation.

    Attributes:
        multiplications: number of multiplications.
        additions: number of additions.
        is_product: whether it sums products of two tensors, one of which may
            be a kernel with zeros.
    """

    multiplications: int = 0
    additions: int = 0
    is_product: bool = False

    def times(self, n):
        """Return the cost of `n` such operations."""
        return Cost(self.multiplications * n, self.additions * n)

    def __add__(self, other):
        """Return the cost of both."""
        return Cost(
            self.multiplications + other.multiplications,
            self.additions + other.additions,
        )


def cost(operation):
    """Return the `Cost` of an operation of a traced graph.

    Raises:
        NotImplementedError: nothing is known about operations of its type.
    """
    if operation.type in _FREE or not _computes(operation):
        return Cost()
    if operation.type not in COSTS:
        raise NotImplementedError(operation.type)
    return COSTS[operation.type](operation)


def _computes(operation):
    """Say whether there is a floating or complex number among the results."""
    return any(
        tensor.dtype.is_floating or tensor.dtype.is_complex
        for tensor in operation.outputs
    ) or operation.type in ("While", "StatelessWhile")


def _n(tensor):
    return math.prod(tensor.shape)


def _product(n):
    return Cost(n, n, is_product=True)


def _matmul(operation):
    a = operation.inputs[0]
    flipped = any(
        operation.get_attr(name)
        for name in ("transpose_a", "adj_x")
        if name in operation.node_def.attr
    )
    return _product(_n(operation.outputs[0]) * a.shape[-2 if flipped else -1])


def _convolution(operation):
    return _product(
        _n(operation.outputs[0]) * math.prod(operation.inputs[1].shape[:-1])
    )


def _depthwise(operation):
    return _product(
        _n(operation.outputs[0]) * math.prod(operation.inputs[1].shape[:2])
    )


def _transposed_convolution(operation):
    _, kernel, image = operation.inputs
    return _product(_n(image) * math.prod(kernel.shape[:-1]))


def _einsum(operation):
    equation = operation.get_attr("equation").decode()
    sizes = {}
    for labels, tensor in zip(
        equation.split("->")[0].split(","), operation.inputs
    ):
        for label, size in _labelled(labels, tensor.shape):
            sizes[label] = max(size, sizes.get(label, 1))
    n = math.prod(sizes.values())
    return _product(n) if len(operation.inputs) == 2 else Cost(0, n)


def _labelled(labels, shape):
    """Pair labels with sizes; "..." stands for labels that count from its end.

    Operands of different rank share the last of these.
    """
    before, dots, after = labels.partition("...")
    if not dots:
        return list(zip(labels, shape))
    end = len(shape) - len(after)
    covered = shape[len(before) : end]
    return [
        *zip(before, shape),
        *[(len(covered) - i, size) for i, size in enumerate(covered)],
        *zip(after, shape[end:]),
    ]


def _multiply(operation):
    return Cost(multiplications=_n(operation.outputs[0]))


def _add(operation):
    return Cost(additions=_n(operation.outputs[0]))


def _both(operation):
    n = _n(operation.outputs[0])
    return Cost(n, n)


def _add_many(operation):
    n = _n(operation.outputs[0])
    return Cost(additions=n * (len(operation.inputs) - 1))


def _sum(operation):
    return Cost(additions=_n(operation.inputs[0]))


def _mean(operation):
    return Cost(_n(operation.outputs[0]), _n(operation.inputs[0]))


def _average_pool(operation):
    n = _n(operation.outputs[0])
    return Cost(n, n * math.prod(operation.get_attr("ksize")))


COSTS = {
    "AddN": _add_many,
    "AddV2": _add,
    "AvgPool": _average_pool,
    "AvgPool3D": _average_pool,
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "BiasAdd": _add,
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "Conv3D": _convolution,
    "Conv3DBackpropInputV2": _transposed_convolution,
    "Cumsum": _add,
    "DepthwiseConv2dNative": _depthwise,
    "DivNoNan": _multiply,
    "Einsum": _einsum,
    "FusedBatchNormV3": _both,
    "LeakyRelu": _multiply,
    "LogSoftmax": _both,
    "MatMul": _matmul,
    "Mean": _mean,
    "Mul": _multiply,
    "MulNoNan": _multiply,
    "Prod": lambda operation: Cost(_n(operation.inputs[0])),
    "RealDiv": _multiply,
    "Reciprocal": _multiply,
    "Softmax": _both,
    "Square": _multiply,
    "SquaredDifference": _both,
    "Sub": _add,
    "Sum": _sum,
}

_FREE = frozenset(
    """
    Abs Acos Acosh All Any ArgMax ArgMin Asin Asinh Assert Assign
    AssignVariableOp Atan Atan2 Atanh BatchToSpaceND Bitcast BroadcastTo Cast
    Ceil CheckNumerics ClipByValue ConcatV2 Const Cos Cosh DepthToSpace Elu
    EnsureShape Enter Erf Erfc Exp ExpandDims Expm1 Fill Floor FloorMod Gather
    GatherNd GatherV2 Identity IdentityN Lgamma Log Log1p MatrixBandPart
    MatrixDiagV3 Max MaxPool MaxPool3D MaxPoolWithArgmax Maximum Min Minimum
    MirrorPad Neg NoOp OneHot OnesLike Pack Pad PadV2 Placeholder
    PlaceholderWithDefault Pow PreventGradient Range Rank ReadVariableOp Relu
    Relu6 Reshape ResizeNearestNeighbor ResourceGather ReverseV2 Rint Round
    Rsqrt Select SelectV2 Selu Shape Sigmoid Sign Sin Sinh Slice Softplus
    Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Squeeze
    StatelessRandomGetKeyCounter StatelessRandomUniformV2 StopGradient
    StridedSlice Tan Tanh TensorListReserve TensorListStack
    TensorScatterUpdate Tile TopKV2 Transpose Unpack Where Xlogy ZerosLike
    """.split()
)
