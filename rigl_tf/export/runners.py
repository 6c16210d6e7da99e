"""Run exported files in the runtimes of their formats."""

from collections.abc import Callable
from collections.abc import Sequence
import importlib
import pathlib
from types import ModuleType
from typing import Any
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.export import saved_model
from rigl_tf.export import signatures

# From arrays, one for each input, to arrays, one for each output.
Runner: TypeAlias = Callable[[Sequence[np.ndarray]], list[np.ndarray]]


def require(package: str, pip_name: str) -> ModuleType:
    """Import a package that a format needs.

    Args:
        package: name of the module.
        pip_name: name under which pip installs it.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"This format needs {pip_name}, which cannot be imported here "
            f"({error}). Install it with: pip install {pip_name}"
        ) from error


def of_keras(model: keras.Model) -> Runner:
    """Return a runner of a model in this process."""
    call = signatures.caller(model)
    return lambda inputs: _arrays(call(*inputs))


def keras_file(
    place: pathlib.Path, names: Sequence[str], threads: int | None
) -> Runner:
    """Return a runner of a .keras file, see `litert`."""
    del names, threads
    model = keras.models.load_model(place, compile=False)
    call = tf.function(signatures.caller(model), autograph=False)
    return lambda inputs: _arrays(call(*map(tf.constant, inputs)))


def tf_saved_model(
    place: pathlib.Path, names: Sequence[str], threads: int | None
) -> Runner:
    """Return a runner of a SavedModel, see `litert`."""
    del threads
    loaded = tf.saved_model.load(str(place))
    function = loaded.signatures[saved_model.NAME]
    _, named = function.structured_input_signature

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        given = {
            name: tf.constant(array, named[name].dtype)
            for name, array in zip(names, inputs, strict=True)
        }
        return _in_order(function(**given))

    run.loaded = loaded  # type: ignore[attr-defined] # owns the variables
    return run


def litert(
    place: pathlib.Path, names: Sequence[str], threads: int | None
) -> Runner:
    """Return a runner of a LiteRT file.

    Args:
        place: path of the file.
        names: names of the inputs, in their order in the model.
        threads: number of threads, or None for the runtime's choice.

    Raises:
        ImportError: the runtime is not installed.
        ValueError: it cannot load the file.
    """
    runtime = require("ai_edge_litert.interpreter", "ai-edge-litert")
    try:
        interpreter = runtime.Interpreter(
            model_path=str(place), num_threads=threads
        )
        interpreter.allocate_tensors()
        signature = interpreter.get_signature_runner()
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"LiteRT cannot load the file: {error}") from error
    batch = int(signature.get_input_details()[names[0]]["shape"][0])

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        parts = []
        n_examples = len(inputs[0])
        for start in range(0, n_examples, batch):
            rows = np.arange(start, start + batch) % n_examples
            given = {
                name: array[rows]
                for name, array in zip(names, inputs, strict=True)
            }
            parts.append(_in_order(signature(**given)))
        return [
            np.concatenate(arrays)[:n_examples]
            for arrays in zip(*parts, strict=True)
        ]

    return run


def onnx(
    place: pathlib.Path, names: Sequence[str], threads: int | None
) -> Runner:
    """Return a runner of an ONNX file, see `litert`."""
    runtime = require("onnxruntime", "onnxruntime")
    options = runtime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        session = runtime.InferenceSession(
            str(place), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # of classes without a public base
        raise ValueError(
            f"ONNX Runtime cannot load the file: {error}"
        ) from error
    outputs = [item.name for item in session.get_outputs()]

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        given = dict(zip(names, inputs, strict=True))
        found = session.run(outputs, given)
        return _in_order(dict(zip(outputs, found)))

    return run


def openvino(
    place: pathlib.Path, names: Sequence[str], threads: int | None
) -> Runner:
    """Return a runner of a directory with OpenVINO's model.xml."""
    runtime = require("openvino", "openvino")
    options = {} if threads is None else {"INFERENCE_NUM_THREADS": threads}
    compiled = runtime.Core().compile_model(
        str(place / "model.xml"), "CPU", options
    )

    def run(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        found = compiled(dict(zip(names, inputs, strict=True)))
        return [np.array(found[output]) for output in compiled.outputs]

    return run


def _in_order(outputs: dict[str, Any]) -> list[np.ndarray]:
    """Return outputs in the order of their numbers: output, output_1, ..."""
    names = sorted(outputs, key=lambda name: (len(name), name))
    return _arrays([outputs[name] for name in names])


def _arrays(tensors: Sequence[Any]) -> list[np.ndarray]:
    return [np.asarray(tensor) for tensor in tensors]
