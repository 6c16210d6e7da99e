"""Convert a model to the bytes of a LiteRT file."""

from collections.abc import Sequence
import pathlib
import tempfile
from typing import Any
from typing import Literal
from typing import TypeAlias
import warnings

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.export import saved_model
from rigl_tf.export import signatures

Precision: TypeAlias = Literal["f32", "f16", "int8"]


def convert(
    model: keras.Model,
    signature: signatures.Signature,
    precision: Precision,
    calibration: Sequence[np.ndarray] | None,
) -> bytes:
    """Return a LiteRT file with dense weights.

    Args:
        model: plain Keras model.
        signature: its signature, with a fixed batch.
        precision: "f32"; "f16" for weights in half precision; "int8" for
            weights and activations in 8 bits.
        calibration: for int8, arrays of real examples, one for each input, from
            which the ranges of activations are taken.

    Raises:
        ValueError: the converter refuses the model, or int8 has no examples.
    """
    if precision == "int8" and _has_loop(signature):
        # The converter's process would be killed by a segmentation fault.
        raise ValueError(
            "TensorFlow cannot convert networks with loops to int8: take f32 "
            f"or f16 for recurrent layers. Received: {model.name!r}"
        )
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory) / "model"
        saved_model.write(place, model, signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(place))
        if precision != "f32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "f16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = _batches(signature, calibration)
        try:
            with warnings.catch_warnings():
                # Calibration still uses the interpreter that LiteRT replaces.
                warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is")
                return converter.convert()
        except Exception as error:  # of many types
            raise ValueError(
                f"TensorFlow cannot convert {model.name!r} to LiteRT in "
                f"{precision}: {_reason(error)}"
            ) from error


def _has_loop(signature: signatures.Signature) -> bool:
    graph = signature.function().get_concrete_function().graph.as_graph_def()
    nodes = [
        *graph.node,
        *(n for f in graph.library.function for n in f.node_def),
    ]
    return any(node.op in ("While", "StatelessWhile") for node in nodes)


def _batches(
    signature: signatures.Signature, calibration: Sequence[np.ndarray] | None
) -> Any:
    """Return the function that yields examples for calibration."""
    if calibration is None:
        raise ValueError(
            "int8 needs `calibration`, real examples from which the ranges of "
            "activations are taken. Received: None"
        )
    batch = signature.inputs[0].shape[0]
    n_examples = len(calibration[0]) // batch * batch

    def batches() -> Any:
        for start in range(0, n_examples, batch):
            yield {
                spec.name: array[start : start + batch]
                for spec, array in zip(
                    signature.inputs, calibration, strict=True
                )
            }

    return batches


def _reason(error: Exception) -> str:
    """Return the sentence of a converter's error that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line in lines:
        if "error:" in line or "TensorList" in line or "not supported" in line:
            return line[:300]
    return (lines or [type(error).__name__])[0][:300]
