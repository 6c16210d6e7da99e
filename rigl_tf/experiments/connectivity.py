"""Pictures of the input layer's connections per pixel over training.

The share of connections that leave each pixel shows where a sparse network
looks: RigL turns from the empty edges to the centre, a static mask does not.
As in the figure of the authors' blog post (Evci & Castro 2020).
"""

import json
import math

import numpy as np

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.masks import storage

_BACKGROUND = "#0b0b14"
_TEXT = "#e8e6e3"
_N_PANELS = 6


def draw(workdir):
    """Draw a strip (PNG) and an animation (GIF) from the masks of a run.

    The shares of connections at the edge go to connectivity.json.

    Args:
        workdir: work directory of a run made with `RECORD_MASKS=True`.

    Returns:
        list of lines for the reader: the share of connections in the outer
        frame at the first and last record, and the paths of both files.

    Raises:
        FileNotFoundError: no recorded masks.
        ValueError: the first masked kernel is not fully connected to pixels.
        ImportError: matplotlib or pillow is not installed.
    """
    workdir = files.path(workdir)
    title, steps, counts = _load(workdir)
    frame = max(round(counts.shape[1] / 7), 1)
    shares = [edge_share(image, frame) for image in counts]
    try:
        import matplotlib

        matplotlib.use("Agg")
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "`connectivity` needs matplotlib and pillow. Install them with: "
            "pip install rigl-tf[plots]"
        ) from error
    summary = {"frame": frame, "steps": steps, "edge_shares": shares}
    files.write_text(
        workdir / run_files.CONNECTIVITY, json.dumps(summary) + "\n"
    )
    strip = workdir / run_files.STRIP
    movie = workdir / run_files.MOVIE
    with files.replacing(strip) as temporary:
        _draw_strip(temporary, title, steps, counts, shares, frame)
    with files.replacing(movie) as temporary:
        _draw_movie(temporary, steps, counts)
    return [
        f"share of input connections in the outer {frame} pixels: "
        f"{shares[0]:.3f} -> {shares[-1]:.3f}",
        f"picture: {strip}",
        f"animation: {movie}",
    ]


def edge_share(image, frame):
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


def _load(workdir):
    """Read title, steps [n] and connections per pixel [n, height, width]."""
    directory = workdir / run_files.MASK_DIRECTORY
    steps, path = run_files.steps(directory), workdir / run_files.RESULT
    if not steps or not path.exists():
        raise FileNotFoundError(
            "`connectivity` needs a finished run with recorded masks. Received:"
            f" {str(workdir)!r}; train with RECORD_MASKS=True"
        )
    result = run_files.read_result(
        path, ["input_shape", "layers", "updater", "task", "sparsity"]
    )
    if len(result["input_shape"]) < 2 or None in result["input_shape"]:
        raise ValueError(
            "`connectivity` draws inputs that are images. Received: inputs of "
            f"shape {result['input_shape']}"
        )
    if not result["layers"]:
        raise files.DamagedFile(path, "must name the masked layers, has none")
    height, width, *channels = result["input_shape"]
    name = result["layers"][0]["name"]
    shape = result["layers"][0]["shape"]
    if shape[:-1] != [height * width * math.prod(channels)]:
        raise ValueError(
            "`connectivity` draws a dense layer on the pixels. Received: "
            f"kernel {name!r} of shape {shape} on inputs of shape "
            f"{result['input_shape']}"
        )
    counts = [
        _first_mask(run_files.numbered(directory, step), name, shape).sum(
            axis=1
        )
        for step in steps
    ]
    images = np.reshape(counts, (len(steps), height, width, -1)).sum(axis=-1)
    title = (
        f"{result['updater']} on {result['task']}, "
        f"{100 * result['sparsity']:g} % sparse"
    )
    return title, steps, images


def _first_mask(path, name, shape):
    """Read the mask of a kernel of a known shape."""
    mask = storage.load(path).get(name)
    if mask is None or list(mask.shape) != shape:
        raise files.DamagedFile(
            path, f"must hold a mask of {name!r} of shape {shape}, has none"
        )
    return mask


def _draw_strip(path, title, steps, counts, shares, frame):
    """Draw some records side by side, and the edge's share below them."""
    import matplotlib.pyplot as plt
    import matplotlib.ticker

    chosen = _spread(len(steps))
    top = _brightest(counts)
    figure = plt.figure(figsize=(12, 3.9), facecolor=_BACKGROUND)
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
    for column, index in enumerate(chosen):
        axes = figure.add_subplot(grid[0, column])
        image = axes.imshow(counts[index], cmap="inferno", vmin=0, vmax=top)
        axes.set_title(f"step {steps[index]:,}", color=_TEXT, fontsize=10)
        axes.set_axis_off()
    bar = figure.add_axes((0.955, 0.43, 0.009, 0.38))
    whole = matplotlib.ticker.MaxNLocator(5, integer=True)
    figure.colorbar(image, cax=bar, ticks=whole).outline.set_visible(False)
    bar.tick_params(colors=_TEXT, labelsize=8, length=0)
    axes = figure.add_subplot(grid[1, :])
    axes.set_facecolor(_BACKGROUND)
    axes.plot(steps, shares, color="#f98e09", linewidth=2)
    axes.fill_between(steps, shares, color="#f98e09", alpha=0.18)
    axes.scatter(
        [steps[i] for i in chosen],
        [shares[i] for i in chosen],
        color="#fcffa4",
        s=18,
        zorder=3,
    )
    axes.set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    axes.set_ylim(0, 1.15 * max(max(shares), 0.01))
    pixels = "pixel" if frame == 1 else f"{frame} pixels"
    axes.set_ylabel(f"share in the\nouter {pixels}", color=_TEXT, fontsize=9)
    axes.set_xlabel("step", color=_TEXT, fontsize=9, labelpad=1)
    axes.tick_params(colors=_TEXT, labelsize=8, length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#55535a")
    figure.suptitle(
        f"Connections per input pixel: {title}",
        color=_TEXT,
        fontsize=13,
        parse_math=False,
    )
    figure.savefig(path, dpi=150, facecolor=_BACKGROUND)
    plt.close(figure)


def _draw_movie(path, steps, counts):
    """Draw all records, one frame each; the last one stays."""
    import matplotlib.pyplot as plt
    import PIL.Image

    top = _brightest(counts)
    figure = plt.figure(figsize=(3, 3.25), facecolor=_BACKGROUND)
    axes = figure.add_axes((0.03, 0.02, 0.94, 0.88))
    axes.set_axis_off()
    image = axes.imshow(counts[0], cmap="inferno", vmin=0, vmax=top)
    frames = []
    for step, count in zip(steps, counts):
        image.set_data(count)
        axes.set_title(f"step {step:,}", color=_TEXT, fontsize=12)
        figure.canvas.draw()
        frames.append(
            PIL.Image.fromarray(np.array(figure.canvas.buffer_rgba()))
        )
    plt.close(figure)
    frames = [frame.convert("RGB") for frame in frames]
    durations = [100] * (len(frames) - 1) + [2000]  # milliseconds
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
    )


def _spread(n_records):
    """Choose records for the strip, dense at the start where masks move."""
    wanted = np.linspace(0, 1, _N_PANELS) ** 2 * (n_records - 1)
    return sorted(set(np.round(wanted).astype(int).tolist()))


def _brightest(counts):
    """Return the top of the colour scale, robust against single pixels."""
    return max(float(np.percentile(counts, 99.7)), 1.0)
