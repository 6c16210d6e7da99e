"""Pictures of analyses: paths, spectra, gradients, agreement, masks."""

from __future__ import annotations

import collections.abc
import math
import typing

import numpy as np
import numpy.typing as npt

from rigl_tf.analysis import figures

if typing.TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = collections.abc.Mapping[str, typing.Any]
_WIDE, _NARROW = (10, 4), (7, 4.5)


def loss_paths(
    curves: collections.abc.Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    accuracies: bool = False,
) -> Figure:
    """Draw the loss along paths between two networks (figure 6 of RigL).

    Args:
        curves: `(t, losses)` of each path, by its title.
        accuracies: whether the numbers are accuracies.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there is no path.
        ImportError: matplotlib is not installed.
    """
    figure, axes = _new(curves, _NARROW)
    for title, (t, losses) in curves.items():
        axes.plot(t, losses, ".-", label=figures.plain(title))
    for end in (0, 1):
        axes.axvline(end, color="gray", linestyle=":", linewidth=1)
    axes.set_xlabel("t (the networks are at 0 and 1)")
    axes.set_ylabel("accuracy" if accuracies else "loss")
    axes.legend(fontsize="small")
    return figure


def spectra(
    densities: collections.abc.Mapping[
        str, tuple[npt.ArrayLike, npt.ArrayLike]
    ],
) -> Figure:
    """Draw the densities of the eigenvalues of Hessians.

    Args:
        densities: `(eigenvalues, densities)` of each network, by its title, as
            `Spectrum.density` returns them.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there is no spectrum.
        ImportError: matplotlib is not installed.
    """
    figure, axes = _new(densities, _NARROW)
    tops = []
    for title, (x, density) in densities.items():
        axes.plot(x, density, label=figures.plain(title))
        tops.append(np.max(density))
    axes.set_yscale("log")
    axes.set_ylim(1e-6 * max(tops), 3 * max(tops))
    axes.axvline(0, color="gray", linestyle=":", linewidth=1)
    axes.set_xlabel("eigenvalue of the Hessian")
    axes.set_ylabel("density")
    axes.legend(fontsize="small")
    return figure


def gradient_norms(
    runs: collections.abc.Mapping[str, collections.abc.Sequence[Row]],
) -> Figure:
    """Draw norms of the gradient over training.

    Args:
        runs: rows with "step", "active" and "dense" of each run, by its title.

    Returns:
        `matplotlib.figure.Figure` with two panels: the norm over the weights
        that are trained, and its share of the norm over all weights.

    Raises:
        ValueError: there is no run.
        ImportError: matplotlib is not installed.
    """
    figure, norms, shares = _pair(runs)
    for title, rows in runs.items():
        steps = [row["step"] for row in rows]
        active = np.array([row["active"] for row in rows])
        dense = np.array([row["dense"] for row in rows])
        norms.plot(
            steps, active, "o-", label=figures.plain(title), markersize=4
        )
        shares.plot(steps, active / dense, "o-", markersize=4)
    norms.set_yscale("log")
    norms.set_ylabel("norm of the gradient, trained weights")
    shares.set_ylabel("its share of the norm over all weights")
    shares.set_ylim(0, 1.05)
    norms.legend(fontsize="small")
    return figure


def weight_map(
    places: npt.ArrayLike, titles: collections.abc.Sequence[str]
) -> Figure:
    """Draw networks as places whose distances are like those of their weights.

    Args:
        places: array [networks, 2], see `disagreement.positions`.
        titles: title of each network.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there is no network.
        ImportError: matplotlib is not installed.
    """
    figure, axes = _new(titles, (6, 5))
    for (x, y), title in zip(np.asarray(places), titles):
        axes.scatter(x, y, s=60)
        axes.annotate(
            figures.plain(title), (x, y), (6, 4), textcoords="offset points"
        )
    axes.margins(0.25)
    axes.set_aspect("equal", "datalim")
    axes.set_title("distances of the weights, in a plane")
    return figure


def signal_scales(
    scales: collections.abc.Mapping[str, collections.abc.Mapping[float, float]],
) -> Figure:
    """Draw how first weights scale signals, over sparsity.

    Args:
        scales: standard deviation of the outputs by sparsity, for each
            initializer.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there is no initializer.
        ImportError: matplotlib is not installed.
    """
    figure, axes = _new(scales, _NARROW)
    for title, values in scales.items():
        axes.plot(
            *zip(*sorted(values.items())), "o-", label=figures.plain(title)
        )
    axes.set_yscale("log")
    axes.set_xlabel("sparsity")
    axes.set_ylabel("standard deviation of the outputs")
    axes.legend(fontsize="small")
    return figure


def mask_history(records: collections.abc.Sequence[Row]) -> Figure:
    """Draw what recorded masks say over training.

    Args:
        records: see `mask_measures.to_json`.

    Returns:
        `matplotlib.figure.Figure` with two panels: overlap of the connections
        and explored share, and density of each kernel.

    Raises:
        ValueError: there is no record.
        ImportError: matplotlib is not installed.
    """
    figure, overlaps, densities = _pair(records)
    steps = [row["step"] for row in records]
    for name in ("with_first", "with_previous", "with_last", "explored"):
        values = [row[name] for row in records]
        overlaps.plot(steps, values, label=name.replace("_", " "))
    overlaps.set_ylabel("Jaccard index; share of all weights")
    overlaps.set_ylim(0, 1.05)
    for path in records[0]["densities"]:
        values = [row["densities"][path] for row in records]
        densities.plot(steps, values, label=figures.plain(path))
    densities.set_ylabel("density")
    for panel in (overlaps, densities):
        panel.legend(fontsize="small")
    return figure


def density_bars(
    densities: collections.abc.Mapping[
        str, collections.abc.Mapping[str, float]
    ],
) -> Figure:
    """Draw the density of each kernel, for several distributions (figure 11).

    Args:
        densities: density of each kernel by path, for each distribution.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there is no distribution.
        ImportError: matplotlib is not installed.
    """
    paths = list(dict.fromkeys(p for of in densities.values() for p in of))
    size = (max(7, 0.32 * len(paths)), 4.5)
    figure, axes = _new(densities, size)
    width = 0.8 / len(densities)
    for number, (title, values) in enumerate(densities.items()):
        x = np.arange(len(paths)) + number * width
        y = [values.get(path, math.nan) for path in paths]
        axes.bar(x, y, width, label=figures.plain(title))
    axes.set_xticks(np.arange(len(paths)) + 0.4 - width / 2, paths)
    axes.tick_params(axis="x", rotation=90, labelsize=7)
    axes.set_ylabel("density")
    axes.legend(fontsize="small")
    return figure


def run_curves(
    runs: collections.abc.Mapping[str, collections.abc.Sequence[Row]],
    name: str,
) -> Figure:
    """Draw one number over the steps of several runs.

    Args:
        runs: lines of metrics of each run, by its title.
        name: name of the number, such as "loss".

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: there is no run.
        ImportError: matplotlib is not installed.
    """
    figure, axes = _new(runs, _NARROW)
    for title, lines in runs.items():
        points = [(row["step"], row[name]) for row in lines if name in row]
        axes.plot(*zip(*points), label=figures.plain(title))
    if "loss" in name:
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel(name.replace("_", " "))
    axes.legend(fontsize="small")
    return figure


def _new(
    shown: collections.abc.Sized, size: tuple[float, float]
) -> tuple[Figure, Axes]:
    figures.require(shown)
    figure = figures.new(figsize=size, layout="constrained")
    return figure, figure.subplots()


def _pair(shown: collections.abc.Sized) -> tuple[Figure, Axes, Axes]:
    figures.require(shown)
    figure = figures.new(figsize=_WIDE, layout="constrained")
    left, right = figure.subplots(1, 2)
    for panel in (left, right):
        panel.set_xlabel("step")
    return figure, left, right
