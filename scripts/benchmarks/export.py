"""Measure exported files: sizes, agreement with the model, speed and memory.

    python scripts/benchmarks/export.py [--rows compact,litert] [--runs]

Prints a Markdown table: what was measured, what is wanted of it, what was seen.
Kernels of the ResNet and the MobileNets are random, as are their masks;
statistics of batch normalization are those of a batch of images. With `--runs`,
the tasks digits_mlp and mnist_mlp are trained too, which takes minutes.
`arm.py` measures the speed of convolutions, on an emulated ARM processor.
"""

import argparse
import pathlib
import tempfile
import time

import common
import keras
import numpy as np

import rigl_tf
from rigl_tf import cli
from rigl_tf import export
from rigl_tf import models
from rigl_tf import text_tables
from rigl_tf.export import compact
from rigl_tf.export import latency
from rigl_tf.export import runners
from rigl_tf.export import signatures
from rigl_tf.export.litert import conversion
from rigl_tf.export.litert import sparse_weights

# Sparsity: largest sizes in MB of raw and compressed files, and what table 2 of
# the paper counts without batch normalization.
RESNET = {
    0.8: (24.10, 21.4, 23.683),
    0.9: (13.93, 11.45, 13.499),
    0.95: (8.83, 6.3, 8.399),
}
MOBILENET = {"f32": 6.23, "f16": 3.46, "int8": 2.43}
# Layers 4096 x 4096 at batch 1: smallest ratios to the dense file.
LAYERS = {"csr": 3.0, "1x4": 8.0}
_SIZE = 4096
_MOST_MEMORY = 0.1
_PER_LOGIT, _ANOTHER_IMAGE = 5e-5, 1e-2


def images(n, size, seed=0):
    """Draw images [n, size, size, 3]."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, size, size, 3)).astype(np.float32)


def living(model, sparsity, size):
    """Return a sparse network whose outputs depend on the image."""
    plain = rigl_tf.strip(
        rigl_tf.sparsify(model, sparsity, "uniform", dense_layers=_outer(model))
    )
    for layer in plain._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    plain(images(16, size), training=True)
    return plain


def _outer(model):
    """Return the names of the first and the last layer with a kernel."""
    names = [
        layer.name
        for layer in model.layers
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))
        and not isinstance(layer, keras.layers.DepthwiseConv2D)
    ]
    return [names[0], names[-1]]


def compact_rows(directory):
    """Yield sizes of ResNet-50 in compact files."""
    for sparsity, (raw, small, published) in RESNET.items():
        model = rigl_tf.strip(
            rigl_tf.sparsify(
                models.resnet((224, 224, 3), 1000),
                sparsity,
                dense_layers=["conv1"],
            )
        )
        for suffix, most in (
            (".safetensors", raw),
            (".safetensors.zst", small),
        ):
            place = directory / f"resnet{suffix}"
            began = time.perf_counter()
            export.save_compact(place, model)
            seconds = time.perf_counter() - began
            size = place.stat().st_size / 1e6
            yield (
                f"ResNet-50 ERK {sparsity:.0%}, {suffix[1:]}, MB",
                f"<= {most} (published {published})",
                f"{size:.3f}, {seconds:.1f} s",
                size <= most,
            )
        entries = compact.entries(model)
        copy = models.resnet((224, 224, 3), 1000)
        export.load_compact(place, copy)
        same = all(
            array.tobytes() == entries[name].tobytes()
            for name, array in compact.entries(copy).items()
        )
        yield ("the same, read back: equal bits", "yes", str(same), same)


def litert_rows(directory):
    """Yield sizes of MobileNet-v1 in LiteRT files, and of a SavedModel."""
    model = living(models.mobilenet_v1((224, 224, 3), 1000), 0.9, 224)
    x = images(4, 224)
    for precision, most in MOBILENET.items():
        place = directory / "v1.tflite"
        report = export.save(
            model,
            place,
            "litert",
            precision=precision,
            examples=x[:2],
            calibration=x,
        )
        size = report.bytes / 1e6
        yield (
            f"MobileNet-v1 90 % LiteRT {precision}, MB",
            f"<= {most}",
            f"{size:.3f}",
            size <= most,
        )
    report = export.save(model, directory / "v1", "tf_saved_model", examples=x)
    ratio = report.bytes / report.dense_bytes
    yield ("SavedModel / weights", "<= 1.2", f"{ratio:.2f}", ratio <= 1.2)


def living_rows(directory):
    """Yield agreement of small networks with their files, turned and not."""
    networks = {
        "MobileNet-v1": models.mobilenet_v1((96, 96, 3), 10, width=0.5),
        "MobileNet-v2": models.mobilenet_v2((96, 96, 3), 10, width=0.5),
    }
    for name in ("MobileNet", "MobileNetV2"):
        networks[f"keras {name}, turned"] = getattr(keras.applications, name)(
            (96, 96, 3),
            alpha=0.5,
            weights=None,
            classes=10,
            classifier_activation=None,
        )
    x = images(4, 96)
    for name, net in networks.items():
        net = living(net, 0.9, 96)
        report = export.save(
            net, directory / "m.tflite", "litert", examples=x, ready_for="arm"
        )
        outputs = np.asarray(net(x))
        other = np.abs(outputs[0] - outputs[1]).max() / np.abs(outputs).max()
        found = report.max_difference / report.largest_output
        yield (
            f"{name}: difference to Keras, of the largest logit; another image",
            f"<= {_PER_LOGIT:g}; >= {_ANOTHER_IMAGE:g}",
            f"{found:.1e}; {other:.2f}",
            found <= _PER_LOGIT and other >= _ANOTHER_IMAGE,
        )
        engaged, pointwise = report.arm.engaged, report.arm.pointwise
        yield (
            f"{name}: 1x1 convolutions that XNNPACK takes sparsely on ARM",
            "all but the classifier",
            f"{engaged} of {pointwise}",
            engaged >= pointwise - 1 > 0,
        )
    yield from _same_outputs(networks["MobileNet-v1"], directory, x)


def _same_outputs(net, directory, x):
    """Yield differences between sparse files and their dense files."""
    net = living(net, 0.9, 96)
    for precision in MOBILENET:
        signature = signatures.of(net, 1)
        data = conversion.convert(net, signature, precision, [x])
        encoded, _ = sparse_weights.encode(data)
        outputs = []
        for content in (data, encoded):
            place = directory / "m.tflite"
            place.write_bytes(content)
            run = runners.litert(place, ["input"], 1)
            outputs.append(run([x])[0])
        difference = float(np.abs(outputs[0] - outputs[1]).max())
        yield (
            f"MobileNet-v1 0.5 {precision}: sparse file against dense file",
            "0",
            f"{difference:g} ({len(encoded):,} B of {len(data):,})",
            difference == 0,
        )


def fc_rows(directory):
    """Yield speed and memory of fully connected layers at batch 1."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((1, _SIZE)).astype(np.float32)
    for encoding, least in LAYERS.items():
        block = 4 if encoding == "1x4" else 1
        shape = (_SIZE // block, _SIZE)
        keep = (generator.random(shape) < 0.05).repeat(block, axis=0)
        layer = keras.layers.Dense(_SIZE, use_bias=False)
        net = keras.Sequential([keras.Input((_SIZE,)), layer])
        layer.kernel.assign(layer.kernel.numpy() * keep)
        places = {}
        for kind, model in (
            ("dense", latency.dense_twin(net)),
            ("sparse", net),
        ):
            places[kind] = directory / f"{encoding}-{kind}.tflite"
            export.save(model, places[kind], "litert", examples=x)
        dense, sparse = latency.measure("litert", places, {"input": x}, 101)
        yield (
            f"layer of 4096 x 4096, 95 %, batch 1, {encoding}: times as fast",
            f">= {least:g}",
            f"{sparse.speedup:.1f} ({dense.median_ms:.2f} ms dense)",
            sparse.speedup >= least,
        )
        ratio = sparse.memory_mb / dense.memory_mb
        yield (
            "the same, memory of the loaded model against dense",
            f"<= {_MOST_MEMORY:g}",
            f"{ratio:.3f} ({sparse.memory_mb:.1f} of {dense.memory_mb:.1f} MB)",
            ratio <= _MOST_MEMORY,
        )


def run_rows(directory):
    """Yield sizes and accuracies of trained networks."""
    runs = (
        ("digits_mlp", [], {"f32": 19.0, "f16": 14.5}),
        (
            "mnist_mlp",
            ["PATTERN=block_4x1", "DENSE_LAYERS=['fc3']"],
            {"f32": 66.0},
        ),
    )
    for task, more, sizes in runs:
        workdir = directory / task
        words = [f"tasks/{task}", "methods/rigl", "SPARSITY=0.95", *more]
        cli.main(["train", *words, f"--workdir={workdir}"])
        keras_accuracy = _accuracy(workdir, "keras", "f32")[1]
        for precision, most in sizes.items():
            size, accuracy = _accuracy(workdir, "litert", precision)
            yield (
                f"{' '.join([task, *more[:1]])} 95 %, LiteRT {precision}: kB, "
                "accuracy beside Keras'",
                f"<= {most:g}, the same",
                f"{size / 1e3:.1f}, {accuracy:.4f} ({keras_accuracy:.4f})",
                size <= 1e3 * most and accuracy == keras_accuracy,
            )


def _accuracy(workdir, name, precision):
    """Export a run; return bytes and test accuracy of the file."""
    from rigl_tf.experiments import export_commands
    from rigl_tf.experiments import exporting

    arguments = argparse.Namespace(
        workdir=str(workdir), model=None, imports=[], output=None
    )
    source, beside = export_commands._source(arguments)
    report, accuracy = exporting.export(
        source, pathlib.Path(beside) / name, name, precision
    )
    return report.bytes, accuracy.value


ROWS = {
    "compact": compact_rows,
    "litert": litert_rows,
    "living": living_rows,
    "fc": fc_rows,
}


def main(argv=None):
    """Measure, and print the table; return it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--runs", action="store_true")
    arguments = parser.parse_args(argv)
    keras.utils.set_random_seed(0)
    chosen = [ROWS[name] for name in arguments.rows.split(",") if name]
    if arguments.runs:
        chosen.append(run_rows)
    cells = []
    for rows in chosen:
        with tempfile.TemporaryDirectory() as directory:
            for what, wanted, seen, holds in rows(pathlib.Path(directory)):
                cells.append((what, wanted, seen, "yes" if holds else "no"))
                print(*cells[-1], sep=" | ", flush=True)
    header = ("what", "wanted", "seen", "holds")
    table = text_tables.markdown(header, cells)
    print(f"\n{table}\n\n{latency.processor()}, {common.software()}")
    return table


if __name__ == "__main__":
    main()
