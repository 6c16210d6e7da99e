"""Count the multiplications and additions of one TensorFlow operation.

A dot product of length n counts n multiplications and n additions, because
hardware accumulates into zero. A sum of n numbers counts n - 1 additions.
Divisions count as multiplications, subtractions as additions. Comparisons
(ReLU, max-pooling), elementary functions (exponential, square root), random
numbers, and operations that only move data count nothing.
"""

from collections.abc import Callable
import dataclasses
import math

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of one operation.

    Attributes:
        multiplications: number of multiplications.
        additions: number of additions.
        is_product: whether it sums products of two tensors, one of which may
            be a kernel with zeros.
    """

    multiplications: float = 0
    additions: float = 0
    is_product: bool = False

    def times(self, n: float) -> "Cost":
        """Return the cost of `n` such operations."""
        return Cost(self.multiplications * n, self.additions * n)

    def __add__(self, other: "Cost") -> "Cost":
        """Return the cost of both."""
        return Cost(
            self.multiplications + other.multiplications,
            self.additions + other.additions,
        )


def cost(operation: tf.Operation) -> Cost:
    """Return the `Cost` of an operation of a traced `tf.Graph`.

    Raises:
        NotImplementedError: if operations of its type cannot be counted.
        ValueError: if a size is unknown.
    """
    kind = operation.type
    dtypes = [tensor.dtype for tensor in operation.outputs]
    # Products of quantized numbers count; arithmetic with indices does not.
    computes = kind in _PRODUCTS or any(
        dtype.is_floating or dtype.is_complex for dtype in dtypes
    )
    if kind in _FREE or not (computes or kind in _LOOPS):
        return Cost()
    if kind not in COSTS:
        raise NotImplementedError(kind)
    if kind not in _FOURIER and any(dtype.is_complex for dtype in dtypes):
        raise NotImplementedError(f"{kind} of complex numbers")
    return COSTS[kind](operation)


def _shape(tensor):
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            f"the size of {tensor.name!r} is unknown: {tensor.shape}"
        )
    return tuple(tensor.shape)


def _n(tensor):
    return math.prod(_shape(tensor))


def _each(multiplications=0, additions=0):
    """Return a function for operations on each element of the result."""

    def function(operation):
        n = _n(operation.outputs[0])
        return Cost(multiplications * n, additions * n)

    return function


def _product(n):
    return Cost(n, n, is_product=True)


def _matmul(operation):
    flipped = any(
        operation.get_attr(name)
        for name in ("transpose_a", "adj_x")
        if name in operation.node_def.attr
    )
    length = _shape(operation.inputs[0])[-2 if flipped else -1]
    return _product(_n(operation.outputs[0]) * length)


def _convolution(operation):
    kernel = _shape(operation.inputs[1])
    return _product(
        _n(_convolved(operation.outputs[0])) * math.prod(kernel[:-1])
    )


def _depthwise(operation):
    kernel = _shape(operation.inputs[1])
    return _product(
        _n(_convolved(operation.outputs[0])) * math.prod(kernel[:2])
    )


def _convolved(result):
    """Return the result of a convolution without padding.

    A dilated convolution may be computed in padded pieces that are joined
    later.
    """
    for step in result.consumers():
        if step.type == "BatchToSpaceND":
            return step.outputs[0]
        if step.type == "Squeeze":
            return _convolved(step.outputs[0])
    return result


def _transposed_convolution(operation):
    _, kernel, image = operation.inputs
    return _product(_n(image) * math.prod(_shape(kernel)[:-1]))


def _einsum(operation):
    equation = operation.get_attr("equation").decode()
    sizes = {}
    for labels, tensor in zip(
        equation.split("->")[0].split(","), operation.inputs
    ):
        for label, size in _labeled(labels, _shape(tensor)):
            sizes[label] = max(size, sizes.get(label, 1))
    n = math.prod(sizes.values())
    if len(operation.inputs) == 2:
        return _product(n)
    return Cost(additions=n - _n(operation.outputs[0]))


def _labeled(labels, shape):
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


def _add_many(operation):
    n = _n(operation.outputs[0])
    return Cost(additions=n * (len(operation.inputs) - 1))


def _add_operand(index):
    """Return a function for additions of one operand, element by element."""
    return lambda operation: Cost(additions=_n(operation.inputs[index]))


def _sum(operation):
    return Cost(additions=_n(operation.inputs[0]) - _n(operation.outputs[0]))


def _prod(operation):
    return Cost(_n(operation.inputs[0]) - _n(operation.outputs[0]))


def _mean(operation):
    n = _n(operation.outputs[0])
    return Cost(n, _n(operation.inputs[0]) - n)


def _average_pool(operation):
    n = _n(operation.outputs[0])
    return Cost(n, n * (math.prod(operation.get_attr("ksize")) - 1))


def _softmax(operation):
    """Subtract the maximum, sum the exponentials, divide by the sum."""
    *rows, length = _shape(operation.outputs[0])
    n_rows = math.prod(rows)
    return Cost(n_rows * length, n_rows * (2 * length - 1))


def _log_softmax(operation):
    """Subtract the maximum, sum the exponentials, subtract the logarithm."""
    *rows, length = _shape(operation.outputs[0])
    return Cost(additions=math.prod(rows) * (3 * length - 1))


def _local_response_normalization(operation):
    """Scale by the root of a sum of squares over neighboring channels."""
    n = _n(operation.outputs[0])
    n_neighbors = 2 * operation.get_attr("depth_radius") + 1
    return Cost(3 * n, n_neighbors * n)


def _resize_by_area(operation):
    before, after = _shape(operation.inputs[0]), _shape(operation.outputs[0])
    n = math.prod(math.ceil(b / a) for b, a in zip(before, after))
    return _each(n, n)(operation)


# Half the widths of the kernels of `ScaleAndTranslate`.
_RADII = {
    "lanczos1": 1,
    "lanczos3": 3,
    "lanczos5": 5,
    "gaussian": 1.5,
    "box": 1,
    "triangle": 1,
    "keyscubic": 2,
    "mitchellcubic": 2,
}


def _scale_and_translate(operation):
    """Weight the neighbors in each column, then those in each row."""
    radius = _RADII[operation.get_attr("kernel_type").decode()]
    antialias = operation.get_attr("antialias")

    def n_neighbors(before, after):
        stretch = max(before / after, 1) if antialias else 1
        return min(2 * math.ceil(radius * stretch) + 1, before)

    n_images, height, width, channels = _shape(operation.inputs[0])
    _, new_height, new_width, _ = _shape(operation.outputs[0])
    n_pixels = n_images * new_height * channels
    n = n_pixels * width * n_neighbors(height, new_height)
    n += n_pixels * new_width * n_neighbors(width, new_width)
    return Cost(n, n)


def _fourier(rank, real=None):
    """Return a function for fast Fourier transforms: 5 n log2(n) each.

    Args:
        rank: number of dimensions that are transformed.
        real: "inputs" or "outputs" if these are real, which halves the cost.
    """

    def function(operation):
        shape = _shape(getattr(operation, real or "outputs")[0])
        n = math.prod(shape) * math.log2(max(1, math.prod(shape[-rank:])))
        return Cost(n, 1.5 * n) if real else Cost(2 * n, 3 * n)

    return function


# Loops, whose results may be lists of tensors of any type.
_LOOPS = ("StatelessWhile", "While")
_FOURIER = {
    "FFT": _fourier(1),
    "FFT2D": _fourier(2),
    "FFT3D": _fourier(3),
    "IFFT": _fourier(1),
    "IFFT2D": _fourier(2),
    "IFFT3D": _fourier(3),
    "IRFFT": _fourier(1, real="outputs"),
    "IRFFT2D": _fourier(2, real="outputs"),
    "RFFT": _fourier(1, real="inputs"),
    "RFFT2D": _fourier(2, real="inputs"),
}
_PRODUCTS = {
    "BatchMatMulV2": _matmul,
    "BatchMatMulV3": _matmul,
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "Conv3D": _convolution,
    "Conv3DBackpropInputV2": _transposed_convolution,
    "DepthwiseConv2dNative": _depthwise,
    "Einsum": _einsum,
    "MatMul": _matmul,
}
# Type of an operation -> function that counts it; may be extended.
COSTS: dict[str, Callable[[tf.Operation], Cost]] = {
    **_FOURIER,
    **_PRODUCTS,
    "AddN": _add_many,
    "AddV2": _each(additions=1),
    "AvgPool": _average_pool,
    "AvgPool3D": _average_pool,
    "BiasAdd": _each(additions=1),
    "Cross": _each(2, 1),
    "Cumprod": _each(1),
    "Cumsum": _each(additions=1),
    "DenseBincount": _add_operand(0),
    "DivNoNan": _each(1),
    "FloorDiv": _each(1),
    "FloorMod": _each(1),
    "FusedBatchNormV3": _each(1, 1),
    "LRN": _local_response_normalization,
    "LeakyRelu": _each(1),
    "LogSoftmax": _log_softmax,
    "Mean": _mean,
    "Mul": _each(1),
    "MulNoNan": _each(1),
    "Prod": _prod,
    "RealDiv": _each(1),
    "Reciprocal": _each(1),
    "ResizeArea": _resize_by_area,
    "ResizeBicubic": _each(16, 16),
    "ResizeBilinear": _each(4, 4),
    "ScaleAndTranslate": _scale_and_translate,
    "ScatterNd": _add_operand(1),
    "SegmentSum": _add_operand(0),
    "Softmax": _softmax,
    "Square": _each(1),
    "SquaredDifference": _each(1, 1),
    "Sub": _each(additions=1),
    "Sum": _sum,
    "TensorScatterAdd": _add_operand(2),
    "UnsortedSegmentSum": _add_operand(0),
    "Xlogy": _each(1),
}

_FREE = frozenset(
    """
    Abs Acos Acosh Asin Asinh Atan Atan2 Atanh BatchToSpaceND Bitcast
    BroadcastTo Cast Ceil CheckNumerics Complex ConcatV2 Const Cos Cosh
    DepthToSpace Elu EnsureShape Erf Erfc Erfinv Exp ExpandDims Expm1
    ExtractImagePatches Fill Floor GatherNd GatherV2 Identity IdentityN Imag Log
    Log1p MatrixBandPart MatrixDiagPartV3 MatrixDiagV3 MatrixSetDiagV3 Max
    MaxPool MaxPool3D MaxPoolWithArgmax Maximum Min Minimum MirrorPad Neg OneHot
    Pack Pad PadV2 Placeholder Pow RandomStandardNormal RandomUniform Range
    ReadVariableOp Real Relu Relu6 Reshape ResizeNearestNeighbor ResourceGather
    ReverseV2 Roll Round Rsqrt Select SelectV2 Selu Sigmoid Sign Sin Sinh Slice
    Softplus Softsign SpaceToBatchND SpaceToDepth Split SplitV Sqrt Squeeze
    StatelessRandomNormalV2 StatelessRandomUniformV2 StatelessTruncatedNormalV2
    StopGradient StridedSlice Tan Tanh TensorListGetItem TensorListStack
    TensorScatterUpdate Tile TopKV2 Transpose Unpack UnsortedSegmentMax
    UnsortedSegmentMin XlaDynamicUpdateSlice
    """.split()
)
