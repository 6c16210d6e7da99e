"""Export a model to a file, and compare what was written with the model."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
import pathlib
import re
import shutil
import tempfile
from typing import Any
from typing import Literal
import warnings

import keras
import numpy as np

from rigl_tf import checks
from rigl_tf import files
from rigl_tf.export import compact
from rigl_tf.export import csr_directory
from rigl_tf.export import formats
from rigl_tf.export import runners
from rigl_tf.export import signatures
from rigl_tf.export.litert import conversion
from rigl_tf.export.litert import sparse_weights
from rigl_tf.export.litert import xnnpack
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masking
from rigl_tf.layers import model_paths

# Largest difference between the outputs of file and model, as a fraction of
# the largest output. 8-bit files are judged by their accuracy instead.
_TOLERANCES = {"f32": 1e-4, "f16": 5e-2}
_N_EXAMPLES = 8


class DeadModelWarning(UserWarning):
    """The outputs of a model do not depend on its inputs."""


@dataclasses.dataclass(frozen=True)
class ExportReport:
    """What was exported, and how far it agrees with the model.

    Attributes:
        path: path of the file or directory.
        format: name of the format.
        precision: "f32", "f16" or "int8".
        bytes: size of all that was written.
        dense_bytes: size of the model's variables, stored densely.
        zeros: fraction of zeros in kernels, which have two axes or more.
        max_difference: largest difference between outputs of file and model;
            None for files of weights, which were compared bit by bit.
        largest_output: largest absolute output of the model.
        n_examples: number of examples that were compared.
        inputs: names of the inputs, in their order.
        weights: what is stored sparsely, for LiteRT.
        arm: what XNNPACK does with it on ARM, for LiteRT.
    """

    path: str
    format: str
    precision: str
    bytes: int
    dense_bytes: int
    zeros: float
    max_difference: float | None
    largest_output: float | None
    n_examples: int
    inputs: tuple[str, ...]
    weights: tuple[sparse_weights.StoredWeight, ...] = ()
    arm: xnnpack.XnnpackReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as a dictionary of plain values."""
        return dataclasses.asdict(self)


def save(
    model: keras.Model,
    path: str | os.PathLike,
    format: str,
    *,
    precision: conversion.Precision = "f32",
    batch: int = 1,
    examples: Sequence[np.ndarray] | np.ndarray | None = None,
    calibration: Sequence[np.ndarray] | np.ndarray | None = None,
    ready_for: Literal["any", "arm"] = "any",
    check: Callable[[runners.Runner], None] | None = None,
) -> ExportReport:
    """Export a model, run what was written, and compare it with the model.

    The file appears under its name only after it gave the outputs of the model.

    Args:
        model: built Keras model: dense, masked, truly sparse, or stripped.
        path: path of the file; of a directory for "tf_saved_model", "openvino"
            and "scipy". An earlier export there is replaced.
        format: one of `formats.FORMATS`: "keras", "tf_saved_model", "litert",
            "onnx", "openvino", "safetensors" or "scipy".
        precision: "f32"; "f16" for weights in half precision; "int8" for LiteRT
            with weights and activations in 8 bits.
        batch: examples in each call of a LiteRT file; up to 4, unstructured
            fully connected layers are multiplied sparsely.
        examples: inputs [n, ...] to compare outputs on, a list if the model has
            several inputs; None for random ones.
        calibration: inputs for the ranges of int8 activations.
        ready_for: "arm" rewrites a LiteRT file, without changing what it
            computes, so that XNNPACK runs its convolutions sparsely.
        check: called with a function from inputs to outputs of what was
            written; if it raises, nothing is left.

    Returns:
        A report with sizes and differences.

    Raises:
        ValueError: the format does not take the model, the precision or the
            name, or the file does not give the outputs of the model.
        ImportError: a package of the format is missing.
        OSError: the file cannot be written.
    """
    place = files.path(path)
    chosen = _require(place, format, precision, ready_for, batch)
    plain = _without_masks(model)
    arrays = _as_list(examples)
    signature = signatures.of(
        plain, batch if chosen.fixed_batch else None, arrays
    )
    inputs = arrays or signature.random_inputs(_N_EXAMPLES)
    order = formats.Order(
        plain, signature, precision, _as_list(calibration), ready_for
    )
    with tempfile.TemporaryDirectory() as directory:
        written = pathlib.Path(directory) / (place.name or "exported")
        stored = chosen.write(written, order)
        names = [spec.name for spec in signature.inputs]
        run = chosen.run(written, names, None) if chosen.run else None
        difference, largest = _compare(written, run, order, inputs)
        if check is not None and run is not None:
            check(run)
        report = ExportReport(
            path=str(place),
            format=format,
            precision=precision,
            bytes=files.size(written),
            dense_bytes=dense_bytes(plain),
            zeros=zeros(plain),
            max_difference=difference,
            largest_output=largest,
            n_examples=len(inputs[0]),
            inputs=tuple(names),
            weights=tuple(stored or ()),
            arm=(
                xnnpack.xnnpack_report(written) if format == "litert" else None
            ),
        )
        _publish(written, place)
    return report


def _require(place, format, precision, ready_for, batch):
    """Check the arguments; return the format."""
    checks.one_of("format", format, formats.FORMATS)
    chosen = formats.FORMATS[format]
    checks.one_of(f"precision of {format}", precision, chosen.precisions)
    checks.one_of("ready_for", ready_for, ("any", "arm"))
    checks.at_least("batch", batch, 1, integer=True)
    if ready_for == "arm" and format != "litert":
        raise ValueError(
            f"`ready_for='arm'` is for LiteRT files. Received: {format!r}"
        )
    name = place.name.removesuffix(".zst")
    if chosen.suffix and not name.endswith(chosen.suffix):
        raise ValueError(
            f"A file of the format {format!r} must be named *{chosen.suffix}. "
            f"Received: {str(place)!r}"
        )
    _require_replaceable(place, chosen)
    for package, pip_name in chosen.packages:
        runners.require(package, pip_name)
    return chosen


def _require_replaceable(place, chosen):
    """Require that replacing what is at a path deletes nothing else."""
    if not place.exists():
        return
    is_directory = not chosen.suffix
    if place.is_dir() != is_directory:
        wanted = "a directory" if is_directory else "a file"
        raise ValueError(
            f"The path must be that of {wanted}. Received: {str(place)!r}, "
            f"which is a {'file' if is_directory else 'directory'}"
        )
    if is_directory:
        others = [
            entry.name
            for entry in place.iterdir()
            if not re.fullmatch(chosen.contents, entry.name)
        ]
        if others:
            raise ValueError(
                "A directory that is replaced must be empty, or an earlier "
                f"export. Received: {str(place)!r}, which has {min(others)!r}"
            )


def _without_masks(model):
    """Return the model without masks; truly sparse layers stay."""
    model = model_paths.inside_training(model)
    model_paths.require_built(model, keras.Model)
    if kernel_masks.masked_kernels(model, optional=True):
        return masking.strip(model, keep_sparse=True)
    return model


def _as_list(arrays):
    """Return arrays, one for each input, as a list."""
    if arrays is None:
        return None
    if isinstance(arrays, (list, tuple)):
        return [np.asarray(array) for array in arrays]
    return [np.asarray(arrays)]


def dense_bytes(model: keras.Model) -> int:
    """Return the size of a model's variables when all are stored densely."""
    kernels, plain = compact.contents(model)
    return sum(4 * kernel.size for kernel in kernels) + sum(
        variable.numpy().nbytes for variable in plain.values()
    )


def zeros(model: keras.Model) -> float:
    """Return the fraction of zeros in the kernels of a model without masks."""
    kernels, plain = compact.contents(model)
    size = sum(kernel.size for kernel in kernels)
    n_active = sum(kernel.n_active for kernel in kernels)
    for variable in plain.values():
        if len(variable.shape) >= 2:
            array = variable.numpy()
            size += array.size
            n_active += int(np.count_nonzero(array))
    return 1 - n_active / size if size else 0.0


def _compare(written, run, order, inputs):
    """Compare a file with the model; return difference and largest output.

    Raises:
        ValueError: they differ by more than the precision explains.
    """
    if run is None:
        _compare_weights(written, order)
        return None, None
    wanted = runners.of_keras(order.model)(inputs)
    found = run(inputs)
    largest = max(float(np.max(np.abs(array))) for array in wanted)
    shapes = [array.shape for array in wanted]
    if [array.shape for array in found] != shapes:
        raise ValueError(
            "The written file does not give the outputs of the model: shapes "
            f"{[array.shape for array in found]} instead of {shapes}"
        )
    if not all(np.isfinite(array).all() for array in found):
        raise ValueError(
            "The written file does not give the outputs of the model: some are "
            "NaN or infinite; it was deleted"
        )
    difference = max(
        float(np.max(np.abs(a - b))) for a, b in zip(found, wanted, strict=True)
    )
    allowed = _TOLERANCES.get(order.precision, np.inf) * max(largest, 1e-30)
    if difference > allowed:
        raise ValueError(
            "The written file does not give the outputs of the model: they "
            f"differ by up to {difference:.3g} of {largest:.3g}; it was deleted"
        )
    _warn_if_dead(wanted, inputs)
    return difference, largest


def _warn_if_dead(outputs, inputs):
    """Warn if outputs are equal for different inputs: nothing was compared."""
    if len(inputs[0]) < 2 or all((a == a[:1]).all() for a in inputs):
        return
    spread = max(float(np.ptp(array, axis=0).max()) for array in outputs)
    largest = max(float(np.max(np.abs(array))) for array in outputs)
    if spread <= 1e-5 * largest:
        warnings.warn(
            "The outputs of the model do not depend on its inputs, so that "
            "comparing the exported file with it says little. Is it trained?",
            DeadModelWarning,
            stacklevel=5,
        )


def _compare_weights(written, order):
    """Read weights again, and compare their bits."""
    found: Mapping[str, Any]
    wanted: Mapping[str, Any]
    if written.is_dir():
        found = _flat(csr_directory.read(written))
        wanted = _flat(csr_directory.arrays(order.model))
    else:
        found = compact.read(written)
        wanted = compact.entries(order.model, formats.VALUES[order.precision])
    for name, array in wanted.items():
        if name not in found or found[name].tobytes() != array.tobytes():
            raise ValueError(
                "The written file does not hold the weights of the model: "
                f"{name!r} differs; it was deleted"
            )


def _flat(directory):
    return {
        f"{file}:{name}": array
        for file, arrays in directory.items()
        for name, array in arrays.items()
    }


def _publish(written: pathlib.Path, place: pathlib.Path) -> None:
    """Move a file or directory to its place, replacing what is there."""
    if written.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(place) as temporary:
            shutil.copyfile(written, temporary)
        return
    if not files.is_local(place):
        for source in sorted(written.rglob("*")):
            target = place / source.relative_to(written)
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(files.TEMPORARY + place.name)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(written, fresh)
    if place.is_dir():
        shutil.rmtree(place)
    os.replace(fresh, place)
