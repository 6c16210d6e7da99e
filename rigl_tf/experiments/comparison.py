"""Compare two runs by their predictions for the same test examples.

No TensorFlow is imported here.
"""

import os
import pathlib

import numpy as np

from rigl_tf import archives
from rigl_tf import files
from rigl_tf import run_files
from rigl_tf import text_tables
from rigl_tf.analysis import statistics


def compare(first: str | os.PathLike, second: str | os.PathLike) -> str:
    """Return a table of two runs: accuracies, discordant pairs, McNemar's p.

    Args:
        first: work directory of a run that was trained with `PREDICTIONS=True`.
        second: another one, with the same test examples.

    Raises:
        FileNotFoundError: if a run has no result or no predictions.
        ValueError: if the runs have other test examples.
        files.DamagedFile: if a file of a run is damaged.
    """
    places = [files.path(first), files.path(second)]
    labels, predicted = zip(*map(_read, places))
    if not np.array_equal(*labels):
        raise ValueError(
            "`compare` needs two runs with the same test examples, in the same "
            f"order. Received: {_named(places[0])} and {_named(places[1])}, "
            "whose labels differ"
        )
    right = [classes == labels[0] for classes in predicted]
    only = [int((a & ~b).sum()) for a, b in (right, right[::-1])]
    rows = [
        [
            str(place),
            _method(place),
            f"{100 * is_right.mean():.2f}",
            f"{is_right.sum():,}",
            f"{n:,}",
        ]
        for place, is_right, n in zip(places, right, only)
    ]
    header = ["run", "method", "test accuracy, %", "right", "only this right"]
    n_differ = int((predicted[0] != predicted[1]).sum())
    return (
        f"{text_tables.aligned(header, rows)}\n\n"
        f"{len(labels[0]):,} test examples, {n_differ:,} predicted "
        f"differently; one run is right on {sum(only):,}.\n"
        f"McNemar's exact test of equal accuracies: p = "
        f"{statistics.mcnemar(*only):.2g}"
    )


def _read(workdir: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Read labels and predicted classes, int32 [examples]."""
    path = workdir / run_files.PREDICTIONS
    if not path.exists():
        raise FileNotFoundError(
            f"`compare` needs runs with {run_files.PREDICTIONS}. Received: "
            f"{str(workdir)!r} without it; train with PREDICTIONS=True in a "
            "new --workdir"
        )
    with archives.reading(path) as archive:
        labels = archive.read("labels", [None], np.int32)
        predicted = archive.read("predicted", [len(labels)], np.int32)
    if not len(labels):
        raise files.DamagedFile(path, "must hold predictions, has none")
    return labels, predicted


def _method(workdir: pathlib.Path) -> str:
    path = workdir / run_files.RESULT
    return str(run_files.read_result(path, ["method"])["method"])


def _named(workdir: pathlib.Path) -> str:
    path = workdir / run_files.RESULT
    result = run_files.read_result(path, ["task"])
    return f"{str(workdir)!r} ({result['task']})"
