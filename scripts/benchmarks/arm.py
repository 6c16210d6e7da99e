"""Measure sparse LiteRT files of MobileNets on an emulated ARM processor.

    scripts/arm.sh  # once
    python scripts/benchmarks/arm.py [--size 224] [--only MobileNet-v1]

Prints a Markdown table. Each sparse file takes turns with two dense ones: one
whose weights are random in place of the zeros, and the control, with the same
zeros. An emulated processor may multiply zeros faster, so that the first ratio
alone could hold without any sparse multiplication. Kernels and masks are
random, statistics of batch normalization are those of a batch of images.
"""

import argparse
from collections.abc import Callable
import dataclasses
import functools
import pathlib
import sys
import tempfile

import emulated
import export as exports
import keras
import numpy as np
import tensorflow as tf

from rigl_tf import models
from rigl_tf import text_tables
from rigl_tf.export import formats
from rigl_tf.export import latency
from rigl_tf.export import signatures
from rigl_tf.export.litert import conversion
from rigl_tf.export.litert import sparse_weights
from rigl_tf.export.litert import xnnpack

# Against the control, a file with this ratio was multiplied sparsely.
SPARSE = 1.5
# Largest difference to Keras, of the largest logit.
_DIFFERENCES = {"f32": 5e-5, "f16": 5e-2}
_ANOTHER_IMAGE = 1e-2
_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Case:
    """A file to measure.

    Attributes:
        network: name of the network, a key of `NETWORKS`.
        sparsity: of all kernels but the first and the last.
        precision: "f32", "f16" or "int8".
        ready_for: "any" or "arm".
        wanted: least ratios to random weights and to the control; empty where
            only the verdict is compared.
    """

    network: str
    sparsity: float = 0.9
    precision: str = "f32"
    ready_for: str = "any"
    wanted: tuple[float, ...] = ()

    def __str__(self):
        turned = ", turned" if self.ready_for == "arm" else ""
        return f"{self.network}{turned}, {self.sparsity:.0%} {self.precision}"


def _of_keras(name, size):
    return getattr(keras.applications, name)(
        (size, size, 3),
        weights=None,
        classes=_CLASSES,
        classifier_activation=None,
    )


NETWORKS: dict[str, Callable] = {
    "MobileNet-v1": lambda size: models.mobilenet_v1((size, size, 3), _CLASSES),
    "MobileNet-v2": lambda size: models.mobilenet_v2((size, size, 3), _CLASSES),
    "keras MobileNet": functools.partial(_of_keras, "MobileNet"),
    "keras MobileNetV2": functools.partial(_of_keras, "MobileNetV2"),
}
CASES = (
    Case("MobileNet-v1", wanted=(4.5, 4.0)),
    Case("MobileNet-v1", 0.6),
    Case("MobileNet-v1", 0.75),
    Case("MobileNet-v1", precision="f16"),
    Case("MobileNet-v1", precision="int8"),
    Case("MobileNet-v2", wanted=(3.0, 2.5)),
    Case("keras MobileNet"),
    Case("keras MobileNet", ready_for="arm", wanted=(4.5, 3.0)),
    Case("keras MobileNetV2"),
    Case("keras MobileNetV2", ready_for="arm", wanted=(3.0, 2.5)),
)
HEADER = (
    "file",
    "times as fast as random weights",
    "as the same zeros, stored densely",
    "wanted",
    "difference to Keras; another image",
    "1x1 convolutions taken, says `inspect`",
    "measured",
    "holds",
)


def row(case, size, directory):
    """Measure the file of a case; return the cells of its row."""
    net = exports.living(NETWORKS[case.network](size), case.sparsity, size)
    control = _dense_file(net, case.precision, size)
    contents = {}
    if case.wanted:
        twin = latency.dense_twin(net)
        contents["random"] = _dense_file(twin, case.precision, size)
    if case.ready_for == "arm":
        control = formats.ready_for_arm(control)
    sparse, _ = sparse_weights.encode(control)
    contents |= {"control": control, "sparse": sparse}
    places = {}
    for name, content in contents.items():
        places[name] = directory / f"{name}.tflite"
        places[name].write_bytes(content)
    x = exports.images(2, size, seed=1)
    found = emulated.run(places, x)
    errors = [
        f"{name}: {one.error}" for name, one in found.items() if one.error
    ]
    if errors:
        return (str(case), "–", "–", "–", errors[0], "–", "–", "no")
    return _cells(case, found, xnnpack.judge(sparse), np.asarray(net(x)))


def _dense_file(net, precision, size):
    """Return a LiteRT file in which all weights are stored."""
    calibration = [exports.images(16, size)] if precision == "int8" else None
    return conversion.convert(
        net, signatures.of(net, 1), precision, calibration
    )


def _cells(case, found, report, outputs):
    """Return the cells of a row from what the files did."""
    seconds = {name: one.seconds for name, one in found.items()}
    ratios = [
        seconds[name] / seconds["sparse"]
        for name in ("random", "control")
        if name in seconds
    ]
    largest = np.abs(outputs).max()
    difference = np.abs(found["sparse"].outputs - outputs).max() / largest
    other = np.abs(outputs[0] - outputs[1]).max() / largest
    is_sparse = ratios[-1] >= SPARSE
    holds = (
        all(ratio >= least for ratio, least in zip(ratios, case.wanted))
        and _right(case.precision, found, difference)
        and other >= _ANOTHER_IMAGE
        and is_sparse == (report.engaged > 0)
    )
    return (
        str(case),
        f"{ratios[0]:.1f}" if case.wanted else "–",
        f"{ratios[-1]:.1f}",
        " and ".join(f">= {least:g}" for least in case.wanted) or "–",
        f"{difference:.1e}; {other:.2f}",
        f"{report.engaged} of {report.pointwise}",
        "sparse" if is_sparse else "dense",
        "yes" if holds else "no",
    )


def _right(precision, found, difference):
    """Return whether outputs of the sparse file are as they should be.

    8-bit files of random networks can be far from Keras: they must equal the
    control.
    """
    if precision == "int8":
        return np.array_equal(found["sparse"].outputs, found["control"].outputs)
    return difference <= _DIFFERENCES[precision]


def main(argv=None):
    """Measure, and print the table; return it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--only", default="", help="how the files begin")
    arguments = parser.parse_args(argv)
    try:
        emulated.python()  # before the networks, which take long
    except FileNotFoundError as error:
        parser.error(str(error))
    cells = []
    for case in CASES:
        if str(case).startswith(arguments.only):
            keras.utils.set_random_seed(0)
            with tempfile.TemporaryDirectory() as directory:
                cells.append(row(case, arguments.size, pathlib.Path(directory)))
            print(*cells[-1], sep=" | ", file=sys.stderr)
    table = text_tables.markdown(HEADER, cells)
    print(
        f"\n{table}\n\nImages of {arguments.size} x {arguments.size} pixels, "
        "one at a time, one thread. No ARM processor was used: these are "
        "ratios of seconds on a Cortex-A76 that qemu-aarch64 emulates. "
        f"TensorFlow {tf.__version__}."
    )
    return table


if __name__ == "__main__":
    main()
