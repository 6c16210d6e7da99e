"""Draw the input layer's connections per pixel over training, for a run.

The number of connections of each pixel shows which part of an image a sparse
network uses: RigL moves connections from the empty edges to the center, and a
static mask does not. The figure follows the authors' blog post (Evci & Castro
2020).
"""

from collections.abc import Sequence
import json
import math
import os
import pathlib

import numpy as np

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.analysis import plots
from rigl_tf.masks import storage


def draw(workdir: str | os.PathLike) -> list[str]:
    """Draw a strip (PNG) and an animation (GIF) from the masks of a run.

    The shares of connections at the edge are written to connectivity.json.

    Args:
        workdir: work directory of a run that was trained with
            `RECORD_MASKS=True`.

    Returns:
        Lines to print: the share of connections in the outer frame at the first
        and last record, and the paths of both files.

    Raises:
        FileNotFoundError: if no masks were recorded.
        ValueError: if the first masked kernel is not a dense layer on pixels.
        ImportError: if matplotlib or pillow is not installed.
    """
    directory = files.path(workdir)
    title, steps, counts = _load(directory)
    frame = plots.frame_width(counts.shape[1])
    shares = [plots.edge_share(image, frame) for image in counts]
    try:
        import matplotlib  # noqa: F401
        import PIL  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "`connectivity` needs matplotlib and pillow. Install them with: "
            "pip install rigl-tf[plots]"
        ) from error
    summary = {"frame": frame, "steps": steps, "edge_shares": shares}
    files.write_text(
        directory / run_files.CONNECTIVITY, json.dumps(summary) + "\n"
    )
    strip = directory / run_files.STRIP
    movie = directory / run_files.MOVIE
    figure = plots.connectivity(counts, steps, title=title, frame=frame)
    with files.replacing(strip) as temporary:
        figure.savefig(temporary, dpi=150)
    with files.replacing(movie) as temporary:
        _write_movie(temporary, plots.connectivity_frames(counts, steps))
    return [
        f"share of input connections in the outer {frame} pixels: "
        f"{shares[0]:.3f} -> {shares[-1]:.3f}",
        f"picture: {strip}",
        f"animation: {movie}",
    ]


def _load(workdir: pathlib.Path) -> tuple[str, list[int], np.ndarray]:
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


def _first_mask(path: pathlib.Path, name: str, shape: list[int]) -> np.ndarray:
    """Read the mask of a kernel, and check its shape."""
    mask = storage.load(path).get(name)
    if mask is None or list(mask.shape) != shape:
        raise files.DamagedFile(
            path, f"must hold a mask of {name!r} of shape {shape}, has none"
        )
    return mask


def _write_movie(path: pathlib.Path, arrays: Sequence[np.ndarray]) -> None:
    """Write an animation of RGB images that stops at the last one."""
    import PIL.Image

    frames = [PIL.Image.fromarray(array) for array in arrays]
    durations = [100] * (len(frames) - 1) + [2000]  # milliseconds
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
    )
