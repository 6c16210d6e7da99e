"""Read how the runs of a report proceeded, from their `metrics.jsonl`."""

from collections.abc import Iterator
from collections.abc import Sequence
import pathlib
from typing import Any

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.analysis import statistics
from rigl_tf.experiments import report_row

# What is drawn, if all runs of a task have it: the field of a line of metrics,
# the title of the axis, the factor. The first is from EVALUATE_INTERVAL.
_CURVES: dict[bool, tuple[tuple[str, str, float], ...]] = {
    False: (
        ("test_accuracy", "test accuracy, %", 100),
        ("accuracy", "accuracy of training batches, %", 100),
        ("loss", "training loss", 1),
    ),
    True: (
        ("test_bits_per_character", "bits per character", 1),
        ("bits_per_character", "bits per character of training batches", 1),
        ("loss", "training loss", 1),
    ),
}
_Lines = list[dict[str, Any]]


def points(rows: Sequence[report_row.Row]) -> Iterator[dict[str, Any]]:
    """Yield a point for each step of each row: mean and interval over seeds.

    Args:
        rows: rows of one task.

    Yields:
        Dictionaries with "row", "x" (the step), "y", "half_interval", "n" and
        "axis".

    Raises:
        ValueError: the runs share no number to draw.
        files.DamagedFile: a `metrics.jsonl` cannot be read.
        FileNotFoundError: a run has none.
    """
    read = {id(row): [_lines(d) for d in row.directories] for row in rows}
    runs = [lines for of_row in read.values() for lines in of_row]
    for name, axis, factor in _CURVES[rows[0].is_text]:
        if all(sum(name in line for line in lines) > 1 for lines in runs):
            break
    else:
        raise ValueError(
            "`--x=step` needs runs that logged their loss at two steps or "
            f"more (LOG_INTERVAL). Received: {rows[0].task!r} without"
        )
    for row in rows:
        by_step: dict[int, list[float]] = {}
        for lines in read[id(row)]:
            found = {x["step"]: factor * x[name] for x in lines if name in x}
            for step, value in found.items():
                by_step.setdefault(step, []).append(value)
        for step, values in sorted(by_step.items()):
            sample = statistics.Sample.of(values)
            yield {
                "row": row,
                "x": step,
                "y": sample.mean,
                "half_interval": half_interval(sample),
                "n": sample.n,
                "axis": axis,
            }


def half_interval(sample: statistics.Sample) -> float | None:
    """Return half of Student's 95 % interval; None for one value."""
    if sample.n < 2:
        return None
    return statistics.mean_interval(sample).high - sample.mean


def _lines(directory: str) -> _Lines:
    path: pathlib.Path = files.path(directory) / run_files.METRICS
    return [line for _, line in run_files.read_metrics(path) if line]
