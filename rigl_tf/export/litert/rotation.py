"""Rewrite image networks so that XNNPACK runs them sparsely on ARM.

XNNPACK needs strided windows with one row of padding on each side. "same" with
stride 2 pads an even image by 0 before and 1 after it. If the image and all
kernels are turned by 180 degrees, it pads 1 before and 0 after; a window of
stride 2 never reaches a row after an even image, so this equals 1 on each side.
(An odd image is padded by 1 on each side anyway.) The mean over the image at
the end does not depend on the turn: the outputs stay the same, up to the
rounding of sums in another order.

A mean that keeps its axes (`keepdims`) behind a sparse part makes XNNPACK
refuse the file on ARM. It is replaced by one that does not, and a reshape.
"""

import typing

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from rigl_tf.export.litert import model_file

_OPERATORS = model_file.OPERATORS
_IMAGE_AXES = (1, 2)
_CONVOLUTIONS = (_OPERATORS.CONV_2D, _OPERATORS.DEPTHWISE_CONV_2D)
_POOLS = (_OPERATORS.AVERAGE_POOL_2D, _OPERATORS.MAX_POOL_2D)
_PADS = (_OPERATORS.PAD, _OPERATORS.PADV2)


def rotate(data: bytes) -> bytes:
    """Return a file that turns its image, and is otherwise equal.

    Args:
        data: bytes of a file with dense weights in floating point, whose first
            input is the image [batch, height, width, channels].

    Raises:
        ValueError: strided windows of the turned image would see other rows,
            or weights are not floating point.
    """
    file = model_file.ModelFile(data)
    graph = file.graphs[0]
    turned: set[int] = set()
    operators = []
    first, is_turned = _reverse_input(file, graph)
    operators.append(first)
    for operator in graph.operators:
        operator.inputs = np.array(
            [is_turned.get(int(i), int(i)) for i in operator.inputs], np.int32
        )
        code = file.code(operator)
        if code in _PADS:
            _turn_pads(file, graph, operator)
        if code in _CONVOLUTIONS:
            _turn_kernel(file, graph, operator, turned)
        if code in _CONVOLUTIONS + _POOLS:
            operators += _even_padding(file, graph, operator)
        operators.append(operator)
    graph.operators = operators
    return file.encode()


def flatten_means(data: bytes) -> bytes:
    """Return a file in which no mean over the image keeps its axes.

    Args:
        data: bytes of a LiteRT file.
    """
    file = model_file.ModelFile(data)
    graph = file.graphs[0]
    operators = []
    for operator in graph.operators:
        operators.append(operator)
        is_mean = file.code(operator) == _OPERATORS.MEAN
        if is_mean and operator.builtinOptions.keepDims:
            operators.append(_flatten(file, graph, operator))
    graph.operators = operators
    return file.encode()


def _reverse_input(
    file: model_file.ModelFile, graph: typing.Any
) -> tuple[typing.Any, dict[int, int]]:
    """Return an operator that turns the image, and what replaces the image."""
    image = int(graph.inputs[0])
    tensor = graph.tensors[image]
    if len(tensor.shape) != 4:
        raise ValueError(
            "Networks of images can be turned. Received: inputs of shape "
            f"{tuple(map(int, tensor.shape))}"
        )
    axes = np.array(_IMAGE_AXES, np.int32)
    int32 = schema.TensorType.INT32
    axes_index = file.add_tensor(graph, "image_axes", [2], int32, axes)
    turned = file.add_tensor(graph, "turned", tensor.shape, tensor.type)
    operator = file.new_operator(
        _OPERATORS.REVERSE_V2, [image, axes_index], [turned], "ReverseV2Options"
    )
    return operator, {image: turned}


def _turn_kernel(
    file: model_file.ModelFile,
    graph: typing.Any,
    operator: typing.Any,
    turned: set[int],
) -> None:
    """Turn the kernel of a convolution, once for each buffer."""
    tensor = graph.tensors[_source(file, graph, int(operator.inputs[1]))]
    kernel = file.constant(tensor)
    if kernel is None or kernel.dtype.kind != "f":
        raise ValueError(
            "Kernels that are turned must be constants in floating point. "
            f"Received: {model_file.text(tensor.name)!r}"
        )
    if kernel.shape[1:3] != (1, 1) and tensor.buffer not in turned:
        turned.add(tensor.buffer)
        data = np.ascontiguousarray(kernel[:, ::-1, ::-1]).tobytes()
        buffer = file.model.buffers[tensor.buffer]
        buffer.data = np.frombuffer(data, np.uint8)


def _source(file: model_file.ModelFile, graph: typing.Any, index: int) -> int:
    """Return the constant behind a tensor, which float16 files convert."""
    for operator in graph.operators:
        if index in operator.outputs:
            return int(operator.inputs[0])
    return index


def _turn_pads(
    file: model_file.ModelFile, graph: typing.Any, operator: typing.Any
) -> None:
    """Exchange what an operator pads before and after an image."""
    tensor = graph.tensors[operator.inputs[1]]
    pads = file.constant(tensor)
    if pads is None or len(pads) != 4:
        raise ValueError(
            "Networks that are turned must pad by constants. Received: "
            f"{model_file.text(tensor.name)!r}"
        )
    turned = pads.copy()
    turned[1:3] = pads[1:3, ::-1]
    name, shape = "turned_pads", tensor.shape
    index = file.add_tensor(graph, name, shape, tensor.type, turned)
    inputs = [operator.inputs[0], index, *operator.inputs[2:]]
    operator.inputs = np.array(inputs, np.int32)


def _even_padding(
    file: model_file.ModelFile, graph: typing.Any, operator: typing.Any
) -> list[typing.Any]:
    """Return an operator that pads one on each side, if that is needed.

    The windows of the operator then begin where they end in the turned image.
    """
    options = operator.builtinOptions
    source = graph.tensors[operator.inputs[0]]
    sizes = [int(size) for size in source.shape[1:3]]
    strides = [options.strideH, options.strideW]
    if file.code(operator) in _POOLS:
        window = [options.filterHeight, options.filterWidth]
    else:
        weights = graph.tensors[operator.inputs[1]]
        window = [int(length) for length in weights.shape[1:3]]
    is_same = options.padding == schema.Padding.SAME
    if all(
        _sees_the_same(*axis, is_same) for axis in zip(sizes, window, strides)
    ):
        return []
    can_pad = is_same and file.code(operator) in _CONVOLUTIONS
    if not can_pad or window != [3, 3] or strides != [2, 2]:
        raise ValueError(
            "Strided windows must see the same rows of a turned image. "
            f"Received: {window[0]}x{window[1]} with stride {strides[0]} on "
            f"{sizes[0]} x {sizes[1]}; take images of another size, such as a "
            "multiple of 32"
        )
    pads = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
    int32 = schema.TensorType.INT32
    pads_index = file.add_tensor(graph, "one_each_side", [4, 2], int32, pads)
    shape = [source.shape[0], sizes[0] + 2, sizes[1] + 2, source.shape[3]]
    padded = file.add_tensor(graph, "padded", shape, source.type)
    padding = file.new_operator(
        _OPERATORS.PAD,
        [operator.inputs[0], pads_index],
        [padded],
        "PadOptions",
    )
    operator.inputs = np.array([padded, *operator.inputs[1:]], np.int32)
    options.padding = schema.Padding.VALID
    return [padding]


def _sees_the_same(size: int, window: int, stride: int, is_same: bool) -> bool:
    """Return whether windows lie alike from both ends of an axis."""
    if not is_same:
        return (size - window) % stride == 0
    steps = -(-size // stride)
    return max((steps - 1) * stride + window - size, 0) % 2 == 0


def _flatten(
    file: model_file.ModelFile, graph: typing.Any, mean: typing.Any
) -> typing.Any:
    """Let a mean drop its axes; return the operator that restores them."""
    outputs = int(mean.outputs[0])
    kept = graph.tensors[outputs]
    shape = np.array(kept.shape, np.int32)
    flat = file.add_tensor(graph, "mean", shape[[0, -1]], kept.type)
    int32 = schema.TensorType.INT32
    sizes = file.add_tensor(graph, "mean_shape", [len(shape)], int32, shape)
    mean.builtinOptions.keepDims = False
    mean.outputs = np.array([flat], np.int32)
    reshape = file.new_operator(
        _OPERATORS.RESHAPE, [flat, sizes], [outputs], "ReshapeOptions"
    )
    reshape.builtinOptions.newShape = shape
    return reshape
