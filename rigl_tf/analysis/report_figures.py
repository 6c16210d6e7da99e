"""Pictures of reports: accuracies with intervals, and grids of settings."""

from __future__ import annotations

import collections.abc
import typing

import numpy as np

from rigl_tf.analysis import figures

if typing.TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = collections.abc.Mapping[str, typing.Any]
_DASHES = ("-", "--", ":", "-.")
_MARKERS = "os^Dv<>P*h"
_MOST_BARS = 12
# Names in a legend inside a panel, and in a column of one beside it.
_MOST_INSIDE = 10
_MOST_BESIDE = 32


def accuracy_over(
    points: collections.abc.Sequence[Row], title: str = "x", log: bool = False
) -> Figure:
    """Draw results with intervals, one panel per task.

    One line per label, one dash per distribution, and one color per method, or
    whatever "color" names. Crosses are published values, hollow ones were read
    off a figure.

    Args:
        points: dictionaries with "task", "label", "distribution", "x", "y" or
            None, and optionally "half_interval" (in units of y, or None),
            "published" (or None), "digitised" (whether it was read off a
            figure), "color" (a name, default the label), and "axis" (what y
            is, default the test accuracy in per cent).
        title: title of the horizontal axis.
        log: whether the axis is logarithmic, if its values differ by a factor
            of more than three.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there are no points.
        ImportError: matplotlib is not installed.
    """
    figures.require(points)
    tasks = sorted({point["task"] for point in points})
    keys = {(point["task"], *_line_of(point)) for point in points}
    most = max(sum(key[0] == task for key in keys) for task in tasks)
    beside = -(-most // _MOST_BESIDE) if most > _MOST_INSIDE else 0
    height = max(4.5, 0.2 * min(most, _MOST_BESIDE) * bool(beside))
    figure = figures.new(
        figsize=(7 + 3 * beside, height * len(tasks)), layout="constrained"
    )
    panels = figure.subplots(len(tasks), squeeze=False)[:, 0]
    styles = _styles(points)
    for task, panel in zip(tasks, panels):
        own = [point for point in points if point["task"] == task]
        for key in sorted({_line_of(point) for point in own}):
            line = [point for point in own if _line_of(point) == key]
            _draw_line(panel, line, styles[key])
        published = any(point.get("published") is not None for point in own)
        panel.set_title(f"{task} (crosses: published)" if published else task)
        x = [point["x"] for point in own]
        if log and min(x) > 0 and max(x) > 3 * min(x):  # or labels overlap
            _scale_logarithmically(panel)
        panel.set_xlabel(title)
        panel.set_ylabel(own[0].get("axis", "test accuracy, %"))
        place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
        panel.legend(
            fontsize="small",
            ncols=max(beside, 1),
            **(place if beside else {}),
        )
    return figure


def _line_of(point):
    return point["label"], point["distribution"]


def _styles(points):
    """Map each line to its color, dash, marker and name."""
    from matplotlib import colormaps

    colors = list(dict.fromkeys(map(_color_of, points)))
    kinds = sorted({point["distribution"] for point in points} - {""})
    palette = colormaps["tab10" if len(colors) <= 10 else "tab20"].colors
    styles, n_alike = {}, {}
    order = sorted(points, key=lambda p: (p["y"] is None, _line_of(p)))
    for point in order:
        key = _line_of(point)
        if key in styles:
            continue
        label, kind = key
        index = colors.index(_color_of(point))
        color = palette[index % len(palette)]
        dash = _DASHES[kinds.index(kind) % len(_DASHES)] if kind else "-"
        marker = n_alike[color, dash] = n_alike.get((color, dash), -1) + 1
        if len(kinds) > 1 and kind and kind not in label:
            label = f"{label}, {kind}"
        styles[key] = {
            "color": color,
            "linestyle": dash,
            "marker": _MARKERS[marker % len(_MARKERS)],
            "label": figures.plain(label),
        }
    return styles


def _color_of(point):
    return point.get("color", point["label"])


def _scale_logarithmically(panel):
    from matplotlib import ticker

    panel.set_xscale("log")
    panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_locator(ticker.NullLocator())


def _draw_line(panel, line, style):
    line = sorted(line, key=lambda point: point["x"])
    own = [point for point in line if point["y"] is not None]
    color = style["color"]
    if own:
        panel.plot(
            [point["x"] for point in own],
            [point["y"] for point in own],
            markersize=5,
            markevery=1 + len(own) // _MOST_BARS,
            **style,
        )
    known = [p for p in own if p.get("half_interval") is not None]
    if known:
        _draw_intervals(panel, known, color)
    for digitised in (False, True):
        crosses = [
            point
            for point in line
            if point.get("published") is not None
            and bool(point.get("digitised")) == digitised
        ]
        if crosses:
            panel.plot(
                [point["x"] for point in crosses],
                [point["published"] for point in crosses],
                "X" if digitised else "x",
                color=color,
                markerfacecolor="none",
                markersize=9,
                label=None if own else style["label"],
            )


def _draw_intervals(panel, points, color):
    """Draw intervals as bars, or as a band where bars would be too many."""
    x, y, half = (
        np.array([point[name] for point in points])
        for name in ("x", "y", "half_interval")
    )
    if len(points) > _MOST_BARS:
        panel.fill_between(x, y - half, y + half, color=color, alpha=0.15)
    else:
        panel.errorbar(
            x, y, half, fmt="none", ecolor=color, elinewidth=1, alpha=0.7
        )


def accuracy_grid(
    cells: collections.abc.Sequence[Row], rows: str, columns: str
) -> Figure:
    """Draw mean accuracies over two settings as heat maps (figures 9 and 10).

    Args:
        cells: dictionaries with "panel", "y", both settings, and optionally
            "axis" (what y is, default the test accuracy in per cent).
        rows: name of the setting of the vertical axis.
        columns: name of the setting of the horizontal axis.

    Returns:
        `matplotlib.figure.Figure` with one panel per "panel", and one scale.

    Raises:
        ValueError: there are no cells, or two for the same place.
        ImportError: matplotlib is not installed.
    """
    figures.require(cells)
    title = cells[0].get("axis", "test accuracy, %")
    panels = sorted({cell["panel"] for cell in cells})
    low = min(cell["y"] for cell in cells)
    high = max(cell["y"] for cell in cells)
    figure = figures.new(
        figsize=(4.2 * len(panels) + 1, 4), layout="constrained"
    )
    drawn = figure.subplots(1, len(panels), squeeze=False)[0]
    for name, panel in zip(panels, drawn):
        own = [cell for cell in cells if cell["panel"] == name]
        y, x = (_sorted({c[n] for c in own}) for n in (rows, columns))
        grid = np.full((len(y), len(x)), np.nan)
        for cell in own:
            place = y.index(cell[rows]), x.index(cell[columns])
            if not np.isnan(grid[place]):
                raise ValueError(
                    f"{rows} and {columns} must tell the rows of a panel "
                    f"apart. Received: two of {name} at {cell[rows]}, "
                    f"{cell[columns]}; they differ in something else too"
                )
            grid[place] = cell["y"]
        shown = panel.imshow(grid, vmin=low, vmax=high, cmap="viridis")
        for (i, j), value in np.ndenumerate(grid):
            if not np.isnan(value):
                dark = value < (low + high) / 2
                color = "white" if dark else "black"
                panel.text(
                    j, i, f"{value:.2f}", ha="center", va="center", color=color
                )
        panel.set_xticks(range(len(x)), list(map(str, x)))
        panel.set_yticks(range(len(y)), list(map(str, y)))
        panel.set_xlabel(columns)
        panel.set_ylabel(rows)
        panel.set_title(name, fontsize=10)
    figure.colorbar(shown, ax=list(drawn), label=title)
    return figure


def _sorted(values):
    return sorted(values, key=lambda value: (isinstance(value, str), value))
