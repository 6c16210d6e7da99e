"""Draw the rows of a report, and write the numbers beside the picture."""

from collections.abc import Sequence
import json
import platform
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
import scipy

import rigl_tf
from rigl_tf import checks
from rigl_tf import files
from rigl_tf.analysis import plots
from rigl_tf.experiments import published_accuracies
from rigl_tf.experiments import report_curves
from rigl_tf.experiments import report_lines
from rigl_tf.experiments import report_row
from rigl_tf.experiments import report_statistics
from rigl_tf.experiments import run_settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What `--x` names: the field of a row, and the title of the axis.
_AXES = {
    "train_flops": ("train_flops_ratio_run", "FLOPs of training, dense = 1"),
    "flops": ("inference_flops_ratio", "FLOPs of inference, dense = 1"),
    "sparsity": ("sparsity", "sparsity"),
    "training_multiplier": ("training_multiplier", "length of training"),
    "step": ("", "step"),
}
# What the published tables call distributions -> our name.
_DISTRIBUTIONS = {
    "ERK": "erdos_renyi_kernel",
    "Random": "uniform",
    "uniform-budget": "uniform",
}
# Settings that vary along a line.
_ALONG = {
    "train_flops": ("SPARSITY", "TRAINING_MULTIPLIER"),
    "flops": ("SPARSITY", "TRAINING_MULTIPLIER"),
    "sparsity": ("SPARSITY",),
    "training_multiplier": ("TRAINING_MULTIPLIER",),
    "step": (),
}
_LOGARITHMIC = ("train_flops", "flops", "training_multiplier")
_Point = dict[str, Any]
_Rows = Sequence[report_row.Row]


def draw(
    rows: _Rows, file: str, x: str | None, by: str | None, words: Sequence[str]
) -> list[str]:
    """Draw results over `x`, or a heat map over two settings.

    The numbers are written to a JSON file of the same name.

    Args:
        rows: rows of the report.
        file: path of the PNG file.
        x: name of an axis; None for "train_flops".
        by: a setting that colors follow instead of methods, two for a heat
            map, or None.
        words: words of the command line, for the JSON file.

    Returns:
        Lines that name the files.

    Raises:
        ValueError: no run has finished, or an argument is unknown.
        ImportError: matplotlib is not installed.
    """
    checks.one_of("--x", x or "train_flops", _AXES)
    if not file.endswith(".png"):
        raise ValueError(f"`--plot` must name a PNG file. Received: {file!r}")
    names = _names(rows, by)
    if len(names) == 2 and x is not None:
        raise ValueError(
            "A heat map has two settings for axes: leave out --x. Received: "
            f"--by={by} and --x={x}"
        )
    if len(names) == 2:
        points = _cells(rows, names)
        figure = plots.accuracy_grid(points, *names)
    else:
        points = results_over(rows, x or "train_flops", names)
        figure = figure_of(points, x or "train_flops")
    place = files.path(file)
    place.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(place) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    content = {
        "words": list(words),
        "versions": _versions(),
        "x": None if len(names) == 2 else x or "train_flops",
        "by": names,
        "points": points,
    }
    numbers = place.with_suffix(".json")
    files.write_text(numbers, json.dumps(content, indent=1) + "\n")
    return [f"picture: {place}", f"numbers: {numbers}"]


def figure_of(points: Sequence[_Point], x: str) -> "Figure":
    """Draw the points of `results_over` over the same axis."""
    return plots.accuracy_over(points, _AXES[x][1], log=x in _LOGARITHMIC)


def results_over(
    rows: _Rows, x: str, names: Sequence[str] = ()
) -> list[_Point]:
    """Return the points of `plots.accuracy_over`, with the seeds of each.

    Rows without runs become published points, if they know `x`. A line holds
    rows that differ in nothing but what `x` names, over FLOPs in nothing but
    sparsity and length.

    Args:
        rows: rows of the report.
        x: name of an axis, "train_flops", "flops", "sparsity",
            "training_multiplier" or "step".
        names: a setting that colors follow, if not the method.

    Raises:
        ValueError: there is nothing to draw.
    """
    run = [row for row in rows if row.n]
    titles = report_lines.titles(run, _ALONG[x])
    if x == "step":
        found: list[_Point] = []
        for task in sorted({row.task for row in run}):
            own = [row for row in run if row.task == task]
            found += report_curves.points(own)
    else:
        found = [_point(row, _AXES[x][0]) for row in run]
        found += _published(rows, _AXES[x][0])
    points = []
    for point in found:
        row = point.pop("row")
        if point["x"] is None:
            continue
        color = _plain(row.method)
        if names and row.n:
            color = f"{names[0]}={run_settings.text(row, names[0])}"
        points.append(
            {
                "task": row.task,
                "label": titles.get(id(row)) or _published_label(row, x),
                "color": color,
                "distribution": _distribution(row),
                "seeds": sorted(report_statistics.by_seed(row)),
                **point,
            }
        )
    if not points:
        raise ValueError(
            f"`--plot` needs finished runs that know {x!r}. Received: none"
        )
    return points


def _point(row: report_row.Row, field: str) -> _Point:
    sample = report_statistics.sample(row)
    return {
        "row": row,
        "x": getattr(row, field),
        "y": sample.mean,
        "half_interval": report_curves.half_interval(sample),
        "n": row.n,
        "axis": _axis(row),
        "published": row.published_accuracy,
    }


def _published_label(row: report_row.Row, x: str) -> str:
    parts = [row.method.removesuffix(" [plot]")]
    if row.sparsity and x != "sparsity":
        parts.append(f"{row.sparsity:g}")
    if row.training_multiplier != 1 and x != "training_multiplier":
        parts.append(f"{row.training_multiplier:g}x")
    return ", ".join([*parts, "published"])


def _published(rows: _Rows, field: str) -> list[_Point]:
    """Return points of what was published but not run, in the panel of ours."""
    known = published_accuracies.by_run()
    tasks = {
        known[row.published]["model"]: row.task
        for row in rows
        if row.n and row.published
    }
    return [
        {
            "row": row,
            "task": tasks.get(row.task, row.task),
            "x": getattr(row, field),
            "y": None,
            "half_interval": None,
            "n": 0,
            "axis": _axis(row),
            "published": row.published_accuracy,
            "digitised": row.digitised,
        }
        for row in rows
        if not row.n
    ]


def _cells(rows: _Rows, names: Sequence[str]) -> list[_Point]:
    """Return the cells of `plots.accuracy_grid`: one panel per line."""
    run = [row for row in rows if row.n]
    titles = report_lines.titles(run, names)
    axes = {_axis(row) for row in run}
    if len(axes) > 1:
        raise ValueError(
            "A heat map shows accuracies or bits per character. Received: "
            "tasks of both; name a directory with one of them"
        )
    cells = []
    for row in run:
        sample = report_statistics.sample(row)
        cells.append(
            {
                "panel": f"{row.task}, {titles[id(row)]}",
                **{name: row.settings.get(name) for name in names},
                "y": sample.mean,
                "half_interval": report_curves.half_interval(sample),
                "n": row.n,
                "axis": _axis(row),
                "seeds": sorted(report_statistics.by_seed(row)),
            }
        )
    return cells


def _names(rows: _Rows, by: str | None) -> list[str]:
    names = by.split(",") if by is not None else []
    known = sorted({name for row in rows for name in row.settings})
    for name in names:
        checks.one_of("--by", name, known)
    if len(names) > 2:
        raise ValueError(f"`--by` takes one or two settings. Received: {by!r}")
    return names


def _axis(row: report_row.Row) -> str:
    return "bits per character" if row.is_text else "test accuracy, %"


def _plain(method: str) -> str:
    """Return how we would call a published method: "Small-Dense" -> ours."""
    name = method.removesuffix(" [plot]").lower()
    return name.replace("-", "_").replace(" ", "_")


def _distribution(row: report_row.Row) -> str:
    """Return the distribution by our name; "" for dense training."""
    if not row.sparsity or row.distribution == "-":
        return ""
    return _DISTRIBUTIONS.get(row.distribution, row.distribution)


def _versions() -> dict[str, str]:
    import matplotlib

    return {
        "rigl_tf": rigl_tf.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "matplotlib": matplotlib.__version__,
    }
