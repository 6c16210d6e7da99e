"""Draw the rows of a report, and write the numbers beside the picture."""

from collections.abc import Sequence
import json
from typing import Any

from rigl_tf import checks
from rigl_tf import files
from rigl_tf.analysis import plots
from rigl_tf.analysis import statistics
from rigl_tf.experiments import report_row
from rigl_tf.experiments import run_settings

# What `--x` names: the field of a row, and the title of the axis.
_AXES = {
    "train_flops": ("train_flops_ratio_run", "FLOPs of training, dense = 1"),
    "flops": ("inference_flops_ratio", "FLOPs of inference, dense = 1"),
    "sparsity": ("sparsity", "sparsity"),
    "training_multiplier": ("training_multiplier", "length of training"),
}


def draw(
    rows: Sequence[report_row.Row], file: str, x: str, by: str | None
) -> None:
    """Draw accuracies over `x`, or a heat map over two settings.

    The numbers are written to a JSON file of the same name.

    Args:
        rows: rows of the report.
        file: path of the PNG file.
        x: name of an axis.
        by: a setting that tells lines apart, two for a heat map, or None.

    Raises:
        ValueError: no run has finished, or an argument is unknown.
        ImportError: matplotlib is not installed.
    """
    checks.one_of("--x", x, _AXES)
    if not file.endswith(".png"):
        raise ValueError(f"`--plot` must name a PNG file. Received: {file!r}")
    run = [row for row in rows if row.n]
    if not run:
        raise ValueError("`--plot` needs finished runs. Received: none")
    names = by.split(",") if by is not None else []
    known = sorted({name for row in run for name in row.settings})
    for name in names:
        checks.one_of("--by", name, known)
    if len(names) > 2:
        raise ValueError(f"`--by` takes one or two settings. Received: {by!r}")
    if len(names) == 2:
        points = [_cell(row, names) for row in run]
        figure = plots.accuracy_grid(points, *names)
    else:
        points = [_point(row, _AXES[x][0], names) for row in run]
        figure = plots.accuracy_over(points, _AXES[x][1])
    place = files.path(file)
    place.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(place) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    content = {"x": x, "by": names, "points": points}
    text = json.dumps(content, indent=1) + "\n"
    files.write_text(place.with_suffix(".json"), text)


def _point(
    row: report_row.Row, field: str, names: Sequence[str]
) -> dict[str, Any]:
    parts = [row.method, *(f"{n}={run_settings.text(row, n)}" for n in names)]
    value = getattr(row, field)
    if value is None:
        raise ValueError(
            f"The runs of a plot must know their {field}. Received: a run of "
            f"{row.task} and {row.method} that does not"
        )
    return {
        "task": row.task,
        "label": ", ".join(parts),
        "distribution": row.distribution if row.sparsity else "",
        "x": value,
        "accuracy": 100 * (row.accuracy or 0),
        "half_interval": _half(row),
        "published": row.published_accuracy,
        "seeds": sorted(row.accuracies or ()),
    }


def _cell(row: report_row.Row, names: Sequence[str]) -> dict[str, Any]:
    return {
        "panel": f"{row.task}, {row.method}",
        **{name: row.settings.get(name) for name in names},
        "accuracy": 100 * (row.accuracy or 0),
        "half_interval": _half(row),
        "seeds": sorted(row.accuracies or ()),
    }


def _half(row: report_row.Row) -> float | None:
    """Return half of Student's interval, in points; None for one run."""
    if row.n < 2:
        return None
    deviation = 100 * (row.accuracy_std or 0)
    sample = statistics.Sample(0.0, deviation, row.n)
    return statistics.mean_interval(sample).high
