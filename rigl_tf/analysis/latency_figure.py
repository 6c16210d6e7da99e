"""Draw how fast dense and sparse files are."""

from __future__ import annotations

import collections.abc
import typing

from rigl_tf.analysis import figures

if typing.TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = {"dense": "#9a9a9a", "sparse": "#f98e09"}
# Distance of the two kinds in a group.
_GAP = 0.3


def latencies(
    rows: collections.abc.Sequence[collections.abc.Mapping[str, typing.Any]],
) -> Figure:
    """Draw the time per example of dense and sparse files.

    Args:
        rows: dictionaries with the fields of `rigl_tf.export.latency.Latency`.

    Returns:
        `matplotlib.figure.Figure`: medians, with lines up to the 95th
        percentiles.

    Raises:
        ValueError: there are no rows.
        ImportError: matplotlib is not installed.
    """
    if not rows:
        raise ValueError("`rows` must not be empty. Received: none")
    groups = list(dict.fromkeys((r["format"], r["batch"]) for r in rows))
    figure = figures.new(
        figsize=(7, 1.4 + 0.75 * len(groups)), layout="constrained"
    )
    from matplotlib import ticker

    axes = figure.subplots()
    for number, kind in enumerate(_COLORS):
        found = [row for row in rows if row["weights"] == kind]
        places = [
            groups.index((row["format"], row["batch"])) + _GAP * number
            for row in found
        ]
        medians = [row["median_ms"] / row["batch"] for row in found]
        tails = [
            max(row["p95_ms"] - row["median_ms"], 0) / row["batch"]
            for row in found
        ]
        axes.errorbar(
            medians,
            places,
            xerr=[[0] * len(tails), tails],
            fmt="o",
            color=_COLORS[kind],
            label=kind,
        )
        for row, median, place in zip(found, medians, places, strict=True):
            if kind != "dense":
                axes.annotate(
                    f"{row['speedup']:.1f}x",
                    (median, place),
                    xytext=(-6, -3),
                    textcoords="offset points",
                    ha="right",
                    fontsize="small",
                )
    axes.set_yticks(
        [index + _GAP / 2 for index in range(len(groups))],
        [f"{name}, batch {batch}" for name, batch in groups],
    )
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.margins(x=0.12)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("milliseconds per example: median, up to 95th percentile")
    axes.legend()
    return figure
