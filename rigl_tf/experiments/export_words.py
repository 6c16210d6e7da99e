"""Arguments of the commands `export`, `inspect` and `benchmark_inference`."""

from typing import Any
from typing import TypeAlias

from rigl_tf.experiments import command_words
from rigl_tf.experiments import export_commands

Subparsers: TypeAlias = Any  # `argparse` has no public name for it


def add_export(subparsers: Subparsers) -> None:
    """Add the command `export`."""
    export = subparsers.add_parser(
        "export", help="write the model of a run for another program"
    )
    command_words.add_source(export)
    export.add_argument(
        "--format",
        required=True,
        help="keras, tf_saved_model, litert, onnx, openvino, safetensors or "
        "scipy",
    )
    export.add_argument(
        "--precision", default="f32", help="f32 (default), f16 or int8"
    )
    export.add_argument(
        "--batch",
        type=int,
        default=1,
        help="examples in each call of a LiteRT file; default 1",
    )
    export.add_argument(
        "--ready_for",
        default="any",
        help="arm: let XNNPACK run convolutions sparsely on ARM",
    )
    export.set_defaults(run=export_commands.export)


def add_inspect(subparsers: Subparsers) -> None:
    """Add the command `inspect`."""
    inspect = subparsers.add_parser(
        "inspect", help="show how a LiteRT file stores its weights"
    )
    inspect.add_argument("file", help="path of a .tflite file")
    inspect.set_defaults(run=export_commands.inspect)


def add_benchmark_inference(subparsers: Subparsers) -> None:
    """Add the command `benchmark_inference`."""
    benchmark = subparsers.add_parser(
        "benchmark_inference",
        help="time exported files, dense and sparse in turns",
    )
    command_words.add_source(benchmark)
    benchmark.add_argument(
        "--formats",
        default="keras,tf_saved_model,litert",
        help="formats, separated by commas; default keras,tf_saved_model,"
        "litert",
    )
    benchmark.add_argument(
        "--batch", default="1,32", help="examples in a call; default 1,32"
    )
    benchmark.add_argument(
        "--rounds", type=int, default=31, help="timed calls; default 31"
    )
    benchmark.add_argument(
        "--threads", type=int, default=1, help="threads; default 1"
    )
    benchmark.set_defaults(run=export_commands.benchmark_inference)
