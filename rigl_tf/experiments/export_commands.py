"""The commands `export`, `inspect` and `benchmark_inference`."""

import argparse
import pathlib
from typing import TYPE_CHECKING
import warnings

from rigl_tf import checks
from rigl_tf import files
from rigl_tf import text_tables
from rigl_tf.experiments import allow_list
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import session
from rigl_tf.experiments import standard_streams

if TYPE_CHECKING:
    from rigl_tf.experiments import exporting

_BENCHMARKS = "inference"


def export(arguments: argparse.Namespace) -> int:
    """Export the model of a run, or a .keras file."""
    with exit_codes.mistakes(), exit_codes.stop_at_once():
        source, beside = _source(arguments)
        from rigl_tf.experiments import exporting
        from rigl_tf.experiments import inference_benchmark
        from rigl_tf.export import saving

        measured = beside / _BENCHMARKS
        with session.quiet(), warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", saving.DeadModelWarning)
            name = f"{arguments.format}-{arguments.precision}"
            directory = files.path(arguments.output or beside / name)
            report, accuracy = exporting.export(
                source,
                directory,
                arguments.format,
                arguments.precision,
                arguments.batch,
                arguments.ready_for,
                inference_benchmark.read_rows(measured),
            )
    for warning in told:  # converters warn of much that says nothing here
        if issubclass(warning.category, saving.DeadModelWarning):
            standard_streams.tell(f"rigl_tf: {warning.message}")
    rows = [
        ("file", report.path),
        ("bytes", f"{report.bytes:,}"),
        ("bytes of dense weights", f"{report.dense_bytes:,}"),
        ("zeros in kernels", f"{report.zeros:.4f}"),
    ]
    if accuracy is not None:
        low, high = accuracy.interval()
        rows.append(
            (
                "test accuracy",
                f"{accuracy.value:.4f} ({low:.4f} to {high:.4f})",
            )
        )
    if report.max_difference is not None:
        rows.append(("largest difference", f"{report.max_difference:.2g}"))
    print(text_tables.aligned(("exported", report.format), rows))
    if report.arm is not None:
        print("\n".join(report.arm.lines()))
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    """Show how a LiteRT file stores its weights, and what XNNPACK does."""
    with exit_codes.mistakes():
        with session.quiet_start():
            from rigl_tf.export.litert import inspection

        data = files.read_bytes(files.path(arguments.file))
        for line in inspection.lines(data):
            print(line)
    return 0


def benchmark_inference(arguments: argparse.Namespace) -> int:
    """Time exported files, dense and sparse."""
    with exit_codes.mistakes(), exit_codes.stop_at_once():
        batches = _integers("--batch", arguments.batch)
        checks.at_least("--rounds", arguments.rounds, 1, integer=True)
        checks.at_least("--threads", arguments.threads, 1, integer=True)
        source, beside = _source(arguments)
        from rigl_tf.experiments import exporting
        from rigl_tf.experiments import inference_benchmark

        directory = files.path(arguments.output or beside / _BENCHMARKS)
        exporting.require_own(directory, inference_benchmark.ROWS)
        with session.quiet():
            found = inference_benchmark.run(
                source,
                arguments.formats.split(","),
                batches,
                arguments.rounds,
                arguments.threads,
            )
        inference_benchmark.write(directory, found)
    print(inference_benchmark.markdown(found))
    print(f"\nwritten to {directory}")
    return 0


def _source(
    arguments: argparse.Namespace,
) -> "tuple[exporting.Source, pathlib.Path]":
    """Return what is exported, and the directory beside which to write."""
    if (arguments.workdir is None) == (arguments.model is None):
        raise ValueError(
            "Give either --workdir, of a finished run, or --model, a .keras "
            f"file. Received: --workdir={arguments.workdir}, "
            f"--model={arguments.model}"
        )
    if arguments.model is not None:
        place = files.path(arguments.model)
        with session.quiet_start():
            allow_list.import_modules(arguments.imports)
            from rigl_tf.experiments import exporting
        return exporting.of_file(place), place.parent / "export"
    experiment = session.experiment_of(
        arguments.workdir, ["STRATEGY=None"], arguments.imports
    )
    from rigl_tf.experiments import exporting

    workdir = files.path(arguments.workdir)
    return exporting.of_run(workdir, experiment), workdir / "export"


def _integers(name: str, text: str) -> list[int]:
    """Return whole numbers of at least 1, separated by commas."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(
            f"`{name}` must be numbers of at least 1, such as 1,32. "
            f"Received: {text!r}"
        )
    return [int(part) for part in parts]
