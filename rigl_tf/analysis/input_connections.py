"""The connections of each input pixel over training, as pictures."""

from __future__ import annotations

import collections.abc
import typing

import numpy as np
import numpy.typing as npt

from rigl_tf.analysis import figures

if typing.TYPE_CHECKING:
    from matplotlib.figure import Figure

_BACKGROUND = "#0b0b14"
_TEXT = "#e8e6e3"
_ORANGE, _YELLOW = "#f98e09", "#fcffa4"
_N_PANELS = 6


def connectivity(
    images: npt.ArrayLike,
    steps: collections.abc.Sequence[int],
    *,
    title: str = "",
    frame: int | None = None,
) -> Figure:
    """Draw the connections of each input pixel over training.

    The figure shows some records side by side, and below them the share of
    connections in the outer frame at every record.

        mask = masked_kernel.mask.numpy()  # [28 * 28, n_outputs]
        images.append(mask.sum(axis=1).reshape(28, 28))

    Args:
        images: connections per pixel, array [records, height, width].
        steps: step of each record, in rising order.
        title: text for the first line.
        frame: width of the outer frame [pixels]; None for a seventh of the
            height.

    Returns:
        `matplotlib.figure.Figure`.

    Raises:
        ValueError: `images` are not as many as `steps`, or not images.
        ImportError: matplotlib is not installed.
    """
    records = _checked_images(images, steps)
    frame = frame_width(records.shape[1]) if frame is None else frame
    shares = [edge_share(image, frame) for image in records]
    chosen = _spread(len(steps))
    figure = figures.new(figsize=(12, 3.9), facecolor=_BACKGROUND)
    grid = figure.add_gridspec(
        2,
        len(chosen),
        height_ratios=(2.6, 1),
        left=0.055,
        right=0.945,
        top=0.83,
        bottom=0.135,
        wspace=0.06,
        hspace=0.28,
    )
    _draw_images(figure, grid, records, steps, chosen)
    axes = figure.add_subplot(grid[1, :])
    _draw_shares(axes, steps, shares, chosen)
    pixels = "pixel" if frame == 1 else f"{frame} pixels"
    axes.set_ylabel(f"share in the\nouter {pixels}", color=_TEXT, fontsize=9)
    figure.suptitle(
        f"Connections per input pixel: {title}".removesuffix(": "),
        color=_TEXT,
        fontsize=13,
        parse_math=False,
    )
    return figure


def connectivity_frames(
    images: npt.ArrayLike, steps: collections.abc.Sequence[int]
) -> list[np.ndarray]:
    """Draw each record of `connectivity` as a frame of an animation.

    Args:
        images: as `connectivity`.
        steps: as `connectivity`.

    Returns:
        list of uint8 arrays [height, width, 3], one per record.
    """
    records = _checked_images(images, steps)
    figure = figures.new(figsize=(3, 3.25), facecolor=_BACKGROUND)
    from matplotlib.backends import backend_agg

    canvas = backend_agg.FigureCanvasAgg(figure)
    axes = figure.add_axes((0.03, 0.02, 0.94, 0.88))
    axes.set_axis_off()
    shown = axes.imshow(
        records[0], cmap="inferno", vmin=0, vmax=_brightest(records)
    )
    frames = []
    for step, image in zip(steps, records):
        shown.set_data(image)
        axes.set_title(f"step {step:,}", color=_TEXT, fontsize=12)
        canvas.draw()
        frames.append(np.array(canvas.buffer_rgba())[..., :3])
    return frames


def edge_share(image: np.ndarray, frame: int) -> float:
    """Return the share of connections within `frame` pixels of the edge.

    Args:
        image: connections per pixel, [height, width].
        frame: width of the outer frame [pixels].

    Returns:
        number in [0, 1]; 0 for an image without connections.
    """
    inner = image[frame:-frame, frame:-frame].sum()
    total = image.sum()
    return float(1 - inner / total) if total else 0.0


def frame_width(height: int) -> int:
    """Return the width of the outer frame of images of a height [pixels]."""
    return max(round(height / 7), 1)


def _checked_images(images, steps):
    images = np.asarray(images)
    if images.ndim != 3 or len(images) != len(steps) or not len(steps):
        raise ValueError(
            "`images` must be an array [records, height, width] with a step "
            "for each record. Received: "
            f"shape {images.shape}, {len(steps)} steps"
        )
    return images


def _draw_images(figure, grid, images, steps, chosen):
    """Draw the chosen records side by side, with one color scale."""
    import matplotlib.ticker

    top = _brightest(images)
    for column, index in enumerate(chosen):
        axes = figure.add_subplot(grid[0, column])
        shown = axes.imshow(images[index], cmap="inferno", vmin=0, vmax=top)
        axes.set_title(f"step {steps[index]:,}", color=_TEXT, fontsize=10)
        axes.set_axis_off()
    bar = figure.add_axes((0.955, 0.43, 0.009, 0.38))
    whole = matplotlib.ticker.MaxNLocator(5, integer=True)
    figure.colorbar(shown, cax=bar, ticks=whole).outline.set_visible(False)
    bar.tick_params(colors=_TEXT, labelsize=8, length=0)


def _draw_shares(axes, steps, shares, chosen):
    """Draw the share of the outer frame over steps; dots where images are."""
    axes.set_facecolor(_BACKGROUND)
    axes.plot(steps, shares, color=_ORANGE, linewidth=2)
    axes.fill_between(steps, shares, color=_ORANGE, alpha=0.18)
    axes.scatter(
        [steps[i] for i in chosen],
        [shares[i] for i in chosen],
        color=_YELLOW,
        s=18,
        zorder=3,
    )
    axes.set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    axes.set_ylim(0, 1.15 * max(max(shares), 0.01))
    axes.set_xlabel("step", color=_TEXT, fontsize=9, labelpad=1)
    axes.tick_params(colors=_TEXT, labelsize=8, length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#55535a")


def _spread(n_records):
    """Choose records for the strip, dense at the start where masks move."""
    wanted = np.linspace(0, 1, _N_PANELS) ** 2 * (n_records - 1)
    return sorted(set(np.round(wanted).astype(int).tolist()))


def _brightest(images):
    """Return the top of the color scale, robust against single pixels."""
    return max(float(np.percentile(images, 99.7)), 1.0)
