"""Name the inputs and outputs of an exported model, and call it by them."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import re
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_AUTOMATIC = re.compile(r"(input_layer|keras_tensor|input)(_\d+)?")


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a model.

    Attributes:
        inputs: a named `tf.TensorSpec` for each input, in their order.
        outputs: a name for each output.
        call: function from tensors, one for each input, to a list of outputs.
    """

    inputs: tuple[tf.TensorSpec, ...]
    outputs: tuple[str, ...]
    call: Callable[..., list[tf.Tensor]]

    def function(self) -> Any:
        """Return a `tf.function` from named inputs to a dictionary."""

        @tf.function(input_signature=self.inputs, autograph=False)
        def served(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = self.call(*inputs)
            return {
                name: tf.identity(output)
                for name, output in zip(self.outputs, outputs, strict=True)
            }

        return served

    def random_inputs(self, n_examples: int, seed: int = 0) -> list[np.ndarray]:
        """Draw inputs: normal numbers, or zeros and ones for whole numbers.

        Args:
            n_examples: number of examples.
            seed: seed of the draw.
        """
        generator = np.random.default_rng(seed)
        found = []
        for spec in self.inputs:
            shape = (n_examples, *spec.shape[1:])
            # Zeros and ones are in every vocabulary of characters or tokens.
            dtype = spec.dtype.as_numpy_dtype
            drawn = generator.standard_normal(shape)
            if spec.dtype.is_integer:
                drawn = (drawn > 0).astype(np.float64)
            found.append(drawn.astype(dtype))
        return found


def of(
    model: keras.Model,
    batch: int | None,
    examples: Sequence[np.ndarray] | None = None,
) -> Signature:
    """Return the signature of a model.

    Names that the model's author gave are kept; automatic ones, which depend on
    what else the process built, become "input", "input_1", "output" and so on.

    Args:
        model: built Keras model.
        batch: number of examples in a call, or None for any.
        examples: arrays of inputs, for models whose shapes they define.

    Raises:
        ValueError: the shapes of inputs are not known.
    """
    tensors = _inputs(model)
    if tensors is None:
        if examples is None:
            raise ValueError(
                "A model without fixed inputs needs examples, which define "
                f"their shapes. Received: {model.name!r} of type "
                f"{type(model).__name__}"
            )
        shapes = [(array.shape[1:], array.dtype) for array in examples]
        names = ["input"] * len(examples)
    else:
        shapes = [(tensor.shape[1:], tensor.dtype) for tensor in tensors]
        names = [tensor.name for tensor in tensors]
        if examples is not None:
            shapes = [
                (array.shape[1:], dtype)
                for array, (_, dtype) in zip(examples, shapes, strict=True)
            ]
    specs = [
        tf.TensorSpec((batch, *shape), dtype, name)
        for (shape, dtype), name in zip(shapes, _named(names), strict=True)
    ]
    if any(None in spec.shape[1:] for spec in specs):
        raise ValueError(
            "Sizes of inputs must be known, except for the batch: give "
            f"examples. Received: {[tuple(spec.shape) for spec in specs]}"
        )

    call = caller(model)
    traced = tf.function(call, autograph=False).get_concrete_function(*specs)
    outputs = _numbered("output", len(traced.structured_outputs))
    return Signature(tuple(specs), tuple(outputs), call)


def caller(model: keras.Model) -> Callable[..., list[Any]]:
    """Return a function that calls a model with one argument per input.

    Args:
        model: built Keras model.

    Returns:
        Function from arrays or tensors to a list of tensors, for inference.
    """
    try:
        structure = model.input  # a dictionary, if the author made it so
    except AttributeError:  # a model without a graph, or a loaded Sequential
        structure = None

    def call(*inputs: Any) -> list[Any]:
        packed: Any = list(inputs) if len(inputs) > 1 else inputs[0]
        if structure is not None:
            packed = keras.tree.pack_sequence_as(structure, list(inputs))
        return keras.tree.flatten(model(packed, training=False))

    return call


def _inputs(model: keras.Model) -> list[Any] | None:
    """Return the symbolic inputs of a Sequential or functional model."""
    try:
        return list(model.inputs) or None
    except (AttributeError, ValueError, TypeError):
        return None


def _named(names: list[str]) -> list[str]:
    """Replace automatic names, and what is no identifier."""
    n_automatic = sum(bool(_AUTOMATIC.fullmatch(name)) for name in names)
    fresh = iter(_numbered("input", n_automatic))
    return [
        next(fresh) if _AUTOMATIC.fullmatch(name) else re.sub(r"\W", "_", name)
        for name in names
    ]


def _numbered(stem: str, count: int) -> list[str]:
    return [stem if i == 0 else f"{stem}_{i}" for i in range(count)]
