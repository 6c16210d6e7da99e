"""Read, change and write LiteRT files through TensorFlow's schema."""

from collections.abc import Iterable
import typing

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

OPERATORS = schema.BuiltinOperator
# Types of weights, by the number that the schema gives them.
WEIGHT_TYPES: dict[int, np.dtype] = {
    schema.TensorType.FLOAT32: np.dtype("<f4"),
    schema.TensorType.FLOAT16: np.dtype("<f2"),
    schema.TensorType.INT8: np.dtype("i1"),
}
_NAMES = {
    number: name
    for name, number in vars(OPERATORS).items()
    if isinstance(number, int)
}
# Operator codes from here on are stored in a second field.
_EXTENDED = 127


class ModelFile:
    """The content of a LiteRT file.

    Operators and tensors are objects of TensorFlow's schema; change them, add
    others, and call `encode`.

    Args:
        data: bytes of the file.

    Raises:
        ValueError: they are not those of a LiteRT file.
    """

    def __init__(self, data: bytes):
        if not schema.Model.ModelBufferHasIdentifier(data, 0):
            raise ValueError(
                "A LiteRT file must contain TFL3 after 4 bytes. Received: "
                f"{data[:8]!r}"
            )
        self.model: typing.Any = schema.ModelT.InitFromPackedBuf(data, 0)

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    @property
    def graphs(self) -> list[typing.Any]:
        """The graphs; the first is called, others are bodies of loops."""
        return self.model.subgraphs

    def code(self, operator: typing.Any) -> int:
        """Return which of `OPERATORS` an operator is."""
        code = self.model.operatorCodes[operator.opcodeIndex]
        return max(code.builtinCode, code.deprecatedBuiltinCode)

    def name(self, operator: typing.Any) -> str:
        """Return the name of an operator, such as CONV_2D."""
        return _NAMES[self.code(operator)]

    def opcode(self, builtin: int, version: int = 1) -> int:
        """Return the index of an operator's code, added if it is new."""
        for index, code in enumerate(self.model.operatorCodes):
            held = max(code.builtinCode, code.deprecatedBuiltinCode)
            if held == builtin and code.version == version:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = builtin
        code.deprecatedBuiltinCode = min(builtin, _EXTENDED)
        code.version = version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def constant(self, tensor: typing.Any) -> np.ndarray | None:
        """Return the value of a dense constant, or None for other tensors."""
        data = self.model.buffers[tensor.buffer].data
        types = {schema.TensorType.INT32: np.dtype("<i4"), **WEIGHT_TYPES}
        dtype = types.get(tensor.type)
        if data is None or len(data) == 0 or dtype is None or tensor.sparsity:
            return None
        shape = tuple(() if tensor.shape is None else tensor.shape)
        return np.frombuffer(bytearray(data), dtype).reshape(shape)

    def n_active(self, tensor: typing.Any) -> int:
        """Return how many stored weights of a constant are not zero."""
        data = self.model.buffers[tensor.buffer].data
        dtype = WEIGHT_TYPES.get(tensor.type)
        if data is None or dtype is None:
            return 0
        return int(np.count_nonzero(np.frombuffer(bytearray(data), dtype)))

    def add_buffer(self, array: np.ndarray) -> int:
        """Add the bytes of an array; return the index of its buffer."""
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def add_tensor(
        self,
        graph: typing.Any,
        name: str,
        shape: Iterable[int],
        kind: int,
        value: np.ndarray | None = None,
    ) -> int:
        """Add a tensor to a graph; return its index there.

        Args:
            graph: one of `graphs`.
            name: its name.
            shape: its shape.
            kind: its type, a number of the schema.
            value: its value if it is constant.
        """
        tensor = schema.TensorT()
        tensor.shape = np.array(list(shape), np.int32)
        tensor.type = kind
        tensor.name = name.encode()
        tensor.hasRank = True
        tensor.buffer = 0 if value is None else self.add_buffer(value)
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    def new_operator(
        self,
        builtin: int,
        inputs: Iterable[int],
        outputs: Iterable[int],
        options: str | None = None,
    ) -> typing.Any:
        """Return an operator; the caller puts it into a graph.

        Args:
            builtin: which of `OPERATORS`.
            inputs: indices of its inputs in the graph.
            outputs: indices of its outputs.
            options: name of the class of its options, such as "PadOptions".
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self.opcode(builtin)
        operator.inputs = np.array(list(inputs), np.int32)
        operator.outputs = np.array(list(outputs), np.int32)
        if options is not None:
            number = getattr(schema.BuiltinOptions, options)
            operator.builtinOptionsType = number
            operator.builtinOptions = getattr(schema, f"{options}T")()
        return operator


def text(name: bytes | str | None) -> str:
    """Return the name of a tensor as a string."""
    return name.decode() if isinstance(name, bytes) else name or ""
