"""Say what XNNPACK's sparse inference on ARM does with a LiteRT file.

XNNPACK multiplies 1x1 convolutions sparsely if they form a part of the network
that begins with a 3x3 convolution of stride 2 on 3 channels, ends with a mean
over the image or a depth-to-space, contains nothing but a few kinds of
operators, and has more than two thirds of zeros in its 1x1 kernels. The rules
are those of its versions of 2025 and 2026, and were compared with what it does
on files of MobileNets. On x86 there is no sparse inference of convolutions.
"""

import collections
from collections.abc import Iterator
import dataclasses
import os
import typing

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from rigl_tf import files
from rigl_tf.export.litert import model_file

_OPERATORS = model_file.OPERATORS
_NEEDED_ZEROS = 2 / 3
_UNARY = {
    getattr(_OPERATORS, name)
    for name in (
        "ABS ELU HARD_SWISH LEAKY_RELU LOGISTIC NEG RELU RELU6 SQUARE TANH"
    ).split()
}
# Operators that change how a tensor is stored or padded; others look past them.
_PADS = {_OPERATORS.PAD, _OPERATORS.PADV2}
_STORAGE = {_OPERATORS.DENSIFY, _OPERATORS.DEQUANTIZE}
# Padding on each side that depthwise windows of a size need.
_DEPTHWISE_PADS = {3: 1, 5: 2}
_FLOATS = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
_INSIDE = ("pointwise", "middle")


@dataclasses.dataclass(frozen=True)
class XnnpackReport:
    """What XNNPACK's sparse inference does with a file on ARM.

    Attributes:
        pointwise: number of 1x1 convolutions.
        engaged: how many of them are multiplied sparsely.
        reasons: why others are not, with the number that it holds for.
    """

    pointwise: int
    engaged: int
    reasons: tuple[tuple[int, str], ...]

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        if not self.pointwise:
            return ["There are no 1x1 convolutions for XNNPACK's sparse path."]
        return [
            f"XNNPACK on ARM multiplies {self.engaged} of {self.pointwise} "
            "1x1 convolutions sparsely.",
            *(f"{count} not: {reason}" for count, reason in self.reasons),
        ]


def xnnpack_report(path: str | os.PathLike) -> XnnpackReport:
    """Judge a LiteRT file.

    Args:
        path: path of the file.

    Raises:
        ValueError: it is not a LiteRT file.
        FileNotFoundError: if it does not exist.
    """
    return judge(files.read_bytes(files.path(path)))


def judge(data: bytes) -> XnnpackReport:
    """Judge the bytes of a LiteRT file, see `xnnpack_report`."""
    graph = _Graph(model_file.ModelFile(data))
    parts: dict[int, list[_Node]] = collections.defaultdict(list)
    for node in graph.nodes:
        if node.kind in ("entry", *_INSIDE):
            parts[graph.part(node)].append(node)
    faults = graph.faults()
    n_engaged, reasons = 0, []
    n_pointwise = 0
    for part, nodes in parts.items():
        convolutions = [node for node in nodes if node.kind == "pointwise"]
        n_pointwise += len(convolutions)
        reason = faults.get(part) or _why_dense(convolutions)
        if not convolutions:
            continue
        if reason is None:
            n_engaged += len(convolutions)
        else:
            reasons.append((len(convolutions), reason))
    for node in graph.nodes:
        if node.kind is None and node.is_pointwise:
            n_pointwise += 1
            reasons.append((1, node.reason))
    return XnnpackReport(n_pointwise, n_engaged, tuple(_grouped(reasons)))


def _grouped(reasons):
    """Add up the counts of equal reasons."""
    counts: collections.Counter[str] = collections.Counter()
    for count, reason in reasons:
        counts[reason] += count
    return [(count, reason) for reason, count in counts.items()]


def _why_dense(convolutions: "list[_Node]") -> str | None:
    """Return why the kernels of a part are too dense, or None."""
    size = sum(node.size for node in convolutions)
    zeros = 1 - sum(node.n_active for node in convolutions) / max(size, 1)
    if zeros <= _NEEDED_ZEROS:
        return f"{zeros:.1%} of the weights are zero, more than 2/3 are needed"
    if not any(node.is_sparse for node in convolutions):
        return "the weights are not stored sparsely"
    return None


@dataclasses.dataclass(eq=False)
class _Node:
    """An operator: its role in a sparse part, or why it has none."""

    operator: typing.Any
    kind: str | None = None
    reason: str = ""
    n_active: int = 0
    size: int = 0
    is_sparse: bool = False
    is_pointwise: bool = False


class _Graph:
    """The first graph of a file, with the roles of its operators."""

    def __init__(self, file: model_file.ModelFile):
        self._file = file
        self._graph = file.graphs[0]
        self._producers = {
            int(i): o for o in self._graph.operators for i in o.outputs
        }
        self.nodes = [
            self._classified(operator)
            for operator in self._graph.operators
            if file.code(operator) not in _PADS | _STORAGE
        ]
        self._parents = {id(node): node for node in self.nodes}
        self._links = list(self._find_links())
        for source, target in self._links:
            if source.kind in ("entry", *_INSIDE) and target.kind in (
                *_INSIDE,
                "exit",
            ):
                self._parents[id(self._root(target))] = self._root(source)

    def part(self, node: _Node) -> int:
        """Return a number for the connected part that a node is in."""
        return id(self._root(node))

    def faults(self) -> dict[int, str]:
        """Map parts with a neighbor that cannot be in them to a reason."""
        found: dict[int, str] = {}
        for source, target in self._links:
            if source.kind in ("entry", *_INSIDE) and target.kind not in (
                *_INSIDE,
                "exit",
            ):
                name = self._file.name(target.operator)
                reason = target.reason or f"its output goes to {name}"
                found.setdefault(self.part(source), reason)
            if target.kind in _INSIDE and source.kind not in (
                "entry",
                *_INSIDE,
            ):
                name = self._file.name(source.operator)
                reason = source.reason or f"its input comes from {name}"
                found.setdefault(self.part(target), reason)
        begins = set(map(int, self._graph.inputs))
        for node in self.nodes:
            if node.kind in _INSIDE and begins & set(
                map(int, node.operator.inputs)
            ):
                found.setdefault(
                    self.part(node),
                    "it begins at the input, not at a 3x3 convolution of "
                    "stride 2 on 3 channels",
                )
        return found

    def _root(self, node: _Node) -> _Node:
        while self._parents[id(node)] is not node:
            node = self._parents[id(node)]
        return node

    def _find_links(self) -> Iterator[tuple[_Node, _Node]]:
        """Yield pairs of operators, the second taking what the first makes."""
        by_output = {
            int(index): node
            for node in self.nodes
            for index in node.operator.outputs
        }
        for target in self.nodes:
            for index in map(int, target.operator.inputs):
                producer = self._producers.get(index)
                while producer is not None and (
                    self._file.code(producer) in _PADS
                ):
                    index = int(producer.inputs[0])
                    producer = self._producers.get(index)
                if index in by_output:
                    yield by_output[index], target

    def _classified(self, operator: typing.Any) -> _Node:
        """Return the role of an operator."""
        node, code = _Node(operator), self._file.code(operator)
        outputs = self._graph.tensors[operator.outputs[0]]
        is_image = outputs.shape is not None and len(outputs.shape) == 4
        if code == _OPERATORS.CONV_2D:
            self._classify_convolution(node)
        elif code == _OPERATORS.DEPTHWISE_CONV_2D:
            self._classify_depthwise(node)
        elif code in {_OPERATORS.ADD, _OPERATORS.MUL} | _UNARY and is_image:
            node.kind = "middle"
        elif code == _OPERATORS.MEAN and operator.builtinOptions.keepDims:
            node.reason = (
                "the mean over the image keeps its axes, behind which XNNPACK "
                'cannot load the file on ARM: export with ready_for="arm"'
            )
        elif code in (_OPERATORS.MEAN, _OPERATORS.DEPTH_TO_SPACE):
            node.kind = "exit"
        return node

    def _classify_convolution(self, node: _Node) -> None:
        operator = node.operator
        index = int(operator.inputs[1])
        while index in self._producers and (
            self._file.code(self._producers[index]) in _STORAGE
        ):
            producer = self._producers[index]
            node.is_sparse |= self._file.code(producer) == _OPERATORS.DENSIFY
            index = int(producer.inputs[0])
        tensor = self._graph.tensors[index]
        shape = tuple(map(int, tensor.shape))
        node.size = int(np.prod(shape))
        node.n_active = self._file.n_active(tensor)
        options = operator.builtinOptions
        strides = (options.strideH, options.strideW)
        is_float = tensor.type in _FLOATS
        node.is_pointwise = shape[1:3] == (1, 1)
        if node.is_pointwise and strides == (1, 1) and is_float:
            node.kind = "pointwise"
        elif shape[1:] == (3, 3, 3) and strides == (2, 2) and is_float:
            pads = self._pads(operator, shape[1:3])
            if pads == [(1, 1), (1, 1)]:
                node.kind = "entry"
            else:
                node.reason = (
                    f"the first convolution pads {pads}, not one on each side: "
                    'export with ready_for="arm", or use ZeroPadding2D(1) and '
                    '"valid"'
                )
        else:
            node.reason = (
                f"a {shape[1]}x{shape[2]} convolution of stride {strides[0]} "
                f"on {shape[3]} channels"
            ) + ("" if is_float else ", in int8")

    def _classify_depthwise(self, node: _Node) -> None:
        operator = node.operator
        _, height, width, _ = map(
            int, self._graph.tensors[operator.inputs[1]].shape
        )
        options = operator.builtinOptions
        strides = (options.strideH, options.strideW)
        needed = _DEPTHWISE_PADS.get(height)
        pads = self._pads(operator, (height, width))
        if (
            needed
            and height == width
            and strides in ((1, 1), (2, 2))
            and options.depthMultiplier == 1
            and pads == [(needed, needed)] * 2
        ):
            node.kind = "middle"
        else:
            node.reason = (
                f"a depthwise {height}x{width} convolution of stride "
                f"{strides[0]} pads {pads}: "
                'export with ready_for="arm"'
            )

    def _pads(
        self, operator: typing.Any, window: tuple[int, ...]
    ) -> list[tuple[int, int]]:
        """Return the padding before and after each axis of the image.

        What a PAD in front of the operator adds is counted.
        """
        options, index = operator.builtinOptions, int(operator.inputs[0])
        strides = (options.strideH, options.strideW)
        if options.padding == schema.Padding.SAME:
            sizes = self._graph.tensors[index].shape[1:3]
            found = []
            for size, length, stride in zip(sizes, window, strides):
                steps = -(-int(size) // stride)
                total = max((steps - 1) * stride + length - int(size), 0)
                found.append((total // 2, total - total // 2))
            return found
        producer = self._producers.get(index)
        if producer is not None and self._file.code(producer) in _PADS:
            pads = self._file.constant(self._graph.tensors[producer.inputs[1]])
            if pads is not None:
                before_after = pads.reshape(-1, 2)[1:3].tolist()
                return [(before, after) for before, after in before_after]
        return [(0, 0), (0, 0)]
