"""The formats in which models are exported: who writes them, who runs them."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import pathlib
import tempfile
from typing import Any
import warnings

import keras
import numpy as np

from rigl_tf.export import compact
from rigl_tf.export import csr_directory
from rigl_tf.export import runners
from rigl_tf.export import saved_model
from rigl_tf.export import signatures
from rigl_tf.export.litert import conversion
from rigl_tf.export.litert import rotation
from rigl_tf.export.litert import sparse_weights
from rigl_tf.export.litert import xnnpack
from rigl_tf.layers import masking
from rigl_tf.layers import sparse_kernels

_ONNX_OPSET = 17
# What `precision` is called in compact files.
VALUES: dict[str, compact.Values] = {"f32": "float32", "f16": "float16"}


@dataclasses.dataclass(frozen=True)
class Order:
    """What is to be exported, and how.

    Attributes:
        model: model without masks; truly sparse layers are as they were.
        signature: its signature.
        precision: "f32", "f16" or "int8".
        calibration: examples for int8.
        ready_for: "any" or "arm".
    """

    model: keras.Model
    signature: signatures.Signature
    precision: conversion.Precision
    calibration: Sequence[np.ndarray] | None
    ready_for: str

    @functools.cached_property
    def dense(self) -> keras.Model:
        """The model with dense kernels.

        Raises:
            ValueError: a kernel is too large to be dense.
        """
        if sparse_kernels.sparse_kernels(self.model):
            return masking.strip(self.model)
        return self.model

    def signature_of(self, model: keras.Model) -> signatures.Signature:
        """Return the signature, calling a copy of the model."""
        call = signatures.caller(model)
        return dataclasses.replace(self.signature, call=call)


@dataclasses.dataclass(frozen=True)
class Format:
    """A format of exported files.

    Attributes:
        suffix: how names of its files end; "" for directories.
        write: function from a path and an `Order` to what is stored sparsely.
        run: function from a path, names of inputs and a number of threads to a
            runner; None for files of weights alone.
        packages: modules that it needs, and the names that pip has for them.
        precisions: what `precision` may be.
        fixed_batch: whether files are for one number of examples.
        contents: what the names in a directory of this format look like, as a
            regular expression.
        loading: lines of Python that load a file and call it, with the fields
            {name} of the file and {inputs}.
    """

    suffix: str
    write: Callable[
        [pathlib.Path, Order], list[sparse_weights.StoredWeight] | None
    ]
    run: (
        Callable[[pathlib.Path, Sequence[str], int | None], runners.Runner]
        | None
    )
    loading: str
    packages: tuple[tuple[str, str], ...] = ()
    precisions: tuple[str, ...] = ("f32",)
    fixed_batch: bool = False
    contents: str = ""


def _write_keras(place: pathlib.Path, order: Order) -> None:
    order.dense.save(place)


def _write_saved_model(place: pathlib.Path, order: Order) -> None:
    model = saved_model.served(order.model)
    saved_model.write(place, model, order.signature_of(model))


def _write_litert(
    place: pathlib.Path, order: Order
) -> list[sparse_weights.StoredWeight]:
    data = conversion.convert(
        order.dense,
        order.signature_of(order.dense),
        order.precision,
        order.calibration,
    )
    if order.ready_for == "arm":
        data = ready_for_arm(data)
    data, stored = sparse_weights.encode(data)
    place.write_bytes(data)
    return stored


def ready_for_arm(data: bytes) -> bytes:
    """Return a LiteRT file that XNNPACK runs sparsely on ARM.

    Args:
        data: bytes of a file with dense weights.

    Raises:
        ValueError: no rewrite lets it run sparsely.
    """
    flat = rotation.flatten_means(data)
    choices = [flat]
    refusal = ""
    try:
        choices.append(rotation.rotate(flat))
    except ValueError as error:
        refusal = str(error)
    # The first of equals: turning costs an operation.
    judged = [(choice, _judge(choice)) for choice in choices]
    best, report = max(judged, key=lambda pair: pair[1].engaged)
    if not report.engaged:
        raise ValueError(
            "`ready_for='arm'` needs a network that XNNPACK can run sparsely. "
            f"Received: {' '.join(report.lines())} {refusal}".rstrip()
        )
    return best


def _judge(data: bytes) -> xnnpack.XnnpackReport:
    """Judge a file as it will be when its weights are stored sparsely."""
    encoded, _ = sparse_weights.encode(data)
    return xnnpack.judge(encoded)


def _write_onnx(place: pathlib.Path, order: Order) -> None:
    with warnings.catch_warnings():
        # tf2onnx still asks NumPy for aliases of types.
        warnings.simplefilter("ignore")
        import tf2onnx

        try:
            tf2onnx.convert.from_function(
                order.signature_of(order.dense).function(),
                order.signature.inputs,
                opset=_ONNX_OPSET,
                custom_op_handlers={"Erfc": (_erfc, [])},
                output_path=str(place),
            )
        except Exception as error:  # of many types
            raise _refusal("tf2onnx", order, error) from error


def _erfc(graph: Any, node: Any, *_: Any) -> None:
    """Write erfc(x), of which GELU is made, as 1 - erf(x): ONNX has no erfc."""
    node.type = "Erf"
    outputs = node.output[0]
    dtype = graph.get_dtype(outputs)
    users = graph.find_output_consumers(outputs)
    one = graph.make_const(f"{node.name}_one", np.array(1, np.float32))
    difference = graph.make_node(
        "Sub", [one.output[0], outputs], dtypes=[dtype]
    )
    for user in users:
        graph.replace_input(user, outputs, difference.output[0])


def _write_openvino(place: pathlib.Path, order: Order) -> None:
    runtime = runners.require("openvino", "openvino")
    with tempfile.TemporaryDirectory() as directory:
        source = pathlib.Path(directory) / "model"
        saved_model.write(source, order.dense, order.signature_of(order.dense))
        try:
            converted = runtime.convert_model(str(source))
        except Exception as error:  # of classes without a public base
            raise _refusal("OpenVINO", order, error) from error
    place.mkdir()
    runtime.save_model(
        converted,
        str(place / "model.xml"),
        compress_to_fp16=order.precision == "f16",
    )


def _refusal(converter: str, order: Order, error: Exception) -> ValueError:
    """Return an error that says on one line why a converter failed."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ValueError(
        f"{converter} cannot convert {order.model.name!r}: "
        f"{' '.join(lines)[:300] or type(error).__name__}"
    )


def _write_compact(place: pathlib.Path, order: Order) -> None:
    compact.save_compact(place, order.model, VALUES[order.precision])


def _write_scipy(place: pathlib.Path, order: Order) -> None:
    csr_directory.write(place, order.model)


# The words of `--format`.
FORMATS: dict[str, Format] = {
    "keras": Format(
        ".keras",
        _write_keras,
        runners.keras_file,
        """import keras

model = keras.models.load_model("{name}")
logits = model(inputs)""",
    ),
    "tf_saved_model": Format(
        "",
        _write_saved_model,
        runners.tf_saved_model,
        """import tensorflow as tf

loaded = tf.saved_model.load("{name}")
outputs = loaded.signatures["serving_default"]({inputs})""",
        contents=r"(saved_model|fingerprint)\.pb|variables|assets",
    ),
    "litert": Format(
        ".tflite",
        _write_litert,
        runners.litert,
        """from ai_edge_litert.interpreter import Interpreter

run = Interpreter("{name}").get_signature_runner()
outputs = run({inputs})""",
        packages=(("ai_edge_litert", "ai-edge-litert"),),
        precisions=("f32", "f16", "int8"),
        fixed_batch=True,
    ),
    "onnx": Format(
        ".onnx",
        _write_onnx,
        runners.onnx,
        """import onnxruntime

session = onnxruntime.InferenceSession("{name}")
outputs = session.run(None, dict({inputs}))""",
        packages=(
            ("tf2onnx", "tf2onnx"),
            ("onnx", "onnx"),
            ("onnxruntime", "onnxruntime"),
        ),
    ),
    "openvino": Format(
        "",
        _write_openvino,
        runners.openvino,
        """import openvino

compiled = openvino.Core().compile_model("{name}/model.xml", "CPU")
outputs = compiled(inputs)""",
        contents=r"model\.(xml|bin)",
        packages=(("openvino", "openvino"),),
        precisions=("f32", "f16"),
    ),
    "safetensors": Format(
        ".safetensors",
        _write_compact,
        None,
        """from rigl_tf import export

export.load_compact("{name}", model)  # a Keras model of this architecture""",
        precisions=("f32", "f16"),
    ),
    "scipy": Format(
        "",
        _write_scipy,
        None,
        """import scipy.sparse

kernel = scipy.sparse.load_npz("{name}/KERNEL.npz")  # one file per kernel""",
        contents=r".*\.npz",
    ),
}
