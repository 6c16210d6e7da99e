"""Pictures of masks, training and results, as matplotlib figures.

Each function returns a `matplotlib.figure.Figure` and leaves pyplot alone: show
the figure in a notebook, or write it with `figure.savefig`.
"""

from __future__ import annotations

import collections.abc
import math
import os
import typing

import numpy as np

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.analysis import figures
from rigl_tf.analysis.input_connections import connectivity
from rigl_tf.analysis.input_connections import connectivity_frames
from rigl_tf.analysis.input_connections import edge_share
from rigl_tf.analysis.input_connections import frame_width
from rigl_tf.analysis.latency_figure import latencies
from rigl_tf.analysis.network_figures import density_bars
from rigl_tf.analysis.network_figures import gradient_norms
from rigl_tf.analysis.network_figures import loss_paths
from rigl_tf.analysis.network_figures import mask_history
from rigl_tf.analysis.network_figures import run_curves
from rigl_tf.analysis.network_figures import signal_scales
from rigl_tf.analysis.network_figures import spectra
from rigl_tf.analysis.network_figures import weight_map
from rigl_tf.analysis.report_figures import accuracy_grid
from rigl_tf.analysis.report_figures import accuracy_over

if typing.TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

__all__ = [
    "accuracy_grid",
    "accuracy_over",
    "accuracy_over_flops",
    "connectivity",
    "connectivity_frames",
    "density_bars",
    "edge_share",
    "frame_width",
    "gradient_norms",
    "latencies",
    "layer_sparsities",
    "loss_paths",
    "mask_history",
    "run_curves",
    "signal_scales",
    "spectra",
    "training_curves",
    "weight_map",
]

_ORANGE = "#f98e09"
# Fields of a line of metrics that say when, and how fast.
_CLOCK = ("step", "wall_seconds", "examples_per_second")


Row = collections.abc.Mapping[str, typing.Any]

# Layers and training.


def layer_sparsities(
    model: keras.Model | collections.abc.Mapping[str, np.ndarray],
) -> Figure:
    """Draw the sparsity of each sparse kernel, and how many weights are active.

    Args:
        model: sparse model, `SparseModel`, or a dictionary from the path of a
            kernel to its mask, as `rigl_tf.masks.storage.load` returns it.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there are no masks.
        ImportError: matplotlib is not installed.
    """
    counts = _counts(model)
    if not counts:
        raise ValueError("`model` must have masks. Received: none")
    figure = figures.new(
        figsize=(7, 1.2 + 0.32 * len(counts)), layout="constrained"
    )
    axes = figure.subplots()
    n_active, sizes = zip(*counts.values())
    sparsities = [1 - n / size for n, size in zip(n_active, sizes)]
    bars = axes.barh(list(counts), sparsities, color=_ORANGE)
    labels = [f"{n:,} of {size:,}" for n, size in zip(n_active, sizes)]
    background = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.bar_label(
        bars, labels, padding=4, fontsize="small", bbox=background, zorder=3
    )
    axes.invert_yaxis()  # the first layer on top
    axes.set_xlim(0, 1.35)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_xlabel("sparsity (beside the bars: active weights)")
    overall = 1 - sum(n_active) / sum(sizes)
    axes.axvline(overall, color="black", linestyle=":", linewidth=1)
    axes.set_title(f"sparsity {overall:.4g} of {sum(sizes):,} weights")
    return figure


def _counts(model):
    """Map paths of kernels to `(active weights, all weights)`."""
    if isinstance(model, collections.abc.Mapping):
        return {
            path: (int(np.count_nonzero(mask)), int(np.size(mask)))
            for path, mask in model.items()
        }
    # Other pictures do not need TensorFlow.
    from rigl_tf.layers import sparse_kernels

    masked, sparse = sparse_kernels.all_kernels(model)
    counts = _counts({kernel.path: kernel.mask.numpy() for kernel in masked})
    return counts | {k.path: (k.n_active, k.size) for k in sparse}


def training_curves(
    metrics: str | os.PathLike | collections.abc.Sequence[Row],
    names: collections.abc.Sequence[str] | None = None,
) -> Figure:
    """Draw loss and metrics over the steps of a run.

    Args:
        metrics: work directory of a run, or lines of metrics: dictionaries
            with "step" and numbers, as in `metrics.jsonl`. The number
            "test_loss" is drawn beside "loss".
        names: names of the numbers to draw, without "test_"; None for all.

    Returns:
        `matplotlib.figure.Figure` with one panel per name.

    Raises:
        ValueError: there is nothing to draw.
        FileNotFoundError: the work directory has no `metrics.jsonl`.
        ImportError: matplotlib is not installed.
    """
    if isinstance(metrics, str | os.PathLike):
        path = files.path(metrics) / run_files.METRICS
        lines = [record for _, record in run_files.read_metrics(path)]
        metrics = [record for record in lines if record is not None]
    if names is None:
        names = _names(metrics)
    if not names:
        raise ValueError(
            "`metrics` must have numbers beside the steps. Received: "
            f"{len(metrics)} lines without any"
        )
    n_columns = min(len(names), 3)
    n_rows = math.ceil(len(names) / n_columns)
    figure = figures.new(
        figsize=(4 * n_columns, 3 * n_rows), layout="constrained"
    )
    panels = figure.subplots(n_rows, n_columns, squeeze=False).flat
    for name, panel in zip(names, panels):
        for key, style in ((name, "-"), (f"test_{name}", "o--")):
            known = [line for line in metrics if key in line]
            if known:
                points = [(line["step"], line[key]) for line in known]
                panel.plot(*zip(*points), style, label=key, markersize=4)
        panel.set_xlabel("step")
        panel.set_title(name.replace("_", " "))
        if len(panel.lines) > 1:
            panel.legend(fontsize="small")
    for panel in list(panels):  # those that are left over
        panel.remove()
    return figure


def _names(lines):
    """List the numbers that lines of metrics hold, in order."""
    found = dict.fromkeys(
        name.removeprefix("test_")
        for line in lines
        for name, value in line.items()
        if type(value) in (int, float) and name not in _CLOCK
    )
    return list(found)


# Results.


def accuracy_over_flops(
    rows: collections.abc.Iterable[Row],
    labels: collections.abc.Sequence[str] | None = None,
) -> Figure:
    """Draw the accuracy of runs over the FLOPs of their training.

    One panel per task, one line per label; crosses are published accuracies.

    Args:
        rows: dictionaries with "task", "method", "train_flops_ratio_run",
            "accuracy" in [0, 1] (or for language models "bits_per_character")
            and, if one was published, "published_accuracy" [%].
        labels: label of each row; None for its method.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there are no rows.
        ImportError: matplotlib is not installed.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("`rows` must have at least one row. Received: none")
    if labels is None:
        labels = [row["method"] for row in rows]
    texts = {
        task: all("bits_per_character" in r for r in rows if r["task"] == task)
        for task in {row["task"] for row in rows}
    }
    points = [
        {
            "task": row["task"],
            "label": label,
            "distribution": "",
            "x": row["train_flops_ratio_run"],
            "y": 100 * row["accuracy"],
            "published": row.get("published_accuracy"),
        }
        | (
            {"y": row["bits_per_character"], "axis": "bits per character"}
            if texts[row["task"]]
            else {}
        )
        for row, label in zip(rows, labels)
    ]
    title = "FLOPs of training, multiples of dense"
    return accuracy_over(points, title, log=True)
