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


def accuracy_over(
    points: collections.abc.Sequence[Row], title: str = "x"
) -> Figure:
    """Draw accuracies with intervals, one panel per task.

    One color per label, one dash per distribution; crosses are published.

    Args:
        points: dictionaries with "task", "label", "distribution", "x",
            "accuracy" [%], "half_interval" [points] or None, and "published"
            [%] or None.
        title: title of the horizontal axis.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there are no points.
        ImportError: matplotlib is not installed.
    """
    _require(points)
    tasks = sorted({point["task"] for point in points})
    labels = sorted({point["label"] for point in points})
    kinds = sorted({point["distribution"] for point in points})
    figure = figures.new(figsize=(7, 4.5 * len(tasks)), layout="constrained")
    panels = figure.subplots(len(tasks), squeeze=False)[:, 0]
    for task, panel in zip(tasks, panels):
        for label in labels:
            for kind in kinds:
                line = [
                    point
                    for point in points
                    if (point["task"], point["label"]) == (task, label)
                    and point["distribution"] == kind
                ]
                color = f"C{labels.index(label)}"
                dash = _DASHES[kinds.index(kind) % len(_DASHES)]
                name = f"{label}, {kind}" if kind and len(kinds) > 1 else label
                _draw_line(panel, line, name, color, dash)
        panel.set_title(task)
        panel.set_xlabel(title)
        panel.set_ylabel("test accuracy, %")
        panel.legend(fontsize="small")
    return figure


def _draw_line(panel, line, name, color, dash):
    if not line:
        return
    line = sorted(line, key=lambda point: point["x"])
    x = [point["x"] for point in line]
    panel.errorbar(
        x,
        [point["accuracy"] for point in line],
        [point["half_interval"] or 0 for point in line],
        fmt=f"o{dash}",
        color=color,
        capsize=3,
        label=name.replace("$", r"\$"),
    )
    known = [p for p in line if p["published"] is not None]
    panel.plot(
        [point["x"] for point in known],
        [point["published"] for point in known],
        "x",
        color=color,
        markersize=9,
    )


def accuracy_grid(
    cells: collections.abc.Sequence[Row], rows: str, columns: str
) -> Figure:
    """Draw mean accuracies over two settings as heat maps (figures 9 and 10).

    Args:
        cells: dictionaries with "panel", "accuracy" [%] and both settings.
        rows: name of the setting of the vertical axis.
        columns: name of the setting of the horizontal axis.

    Returns:
        `matplotlib.figure.Figure` with one panel per "panel", and one scale.

    Raises:
        ValueError: there are no cells, or two for the same place.
        ImportError: matplotlib is not installed.
    """
    _require(cells)
    panels = sorted({cell["panel"] for cell in cells})
    low = min(cell["accuracy"] for cell in cells)
    high = max(cell["accuracy"] for cell in cells)
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
            grid[place] = cell["accuracy"]
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
    figure.colorbar(shown, ax=list(drawn), label="test accuracy, %")
    return figure


def _sorted(values):
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def _require(shown: collections.abc.Sized) -> None:
    if not len(shown):
        raise ValueError("A picture needs something to draw. Received: nothing")
