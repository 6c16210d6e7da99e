"""Collect the results of finished runs as rows of a report.

No TensorFlow is imported here.
"""

import collections
from collections.abc import Sequence
import contextlib
import os
import pathlib
import statistics
from typing import Any

from rigl_tf import files
from rigl_tf import run_files
from rigl_tf.experiments import published_accuracies
from rigl_tf.experiments import report_row
from rigl_tf.experiments import run_settings

_DEFAULTS: dict[str, Any] = {
    "pattern": "unstructured",
    "training_multiplier": 1,
    "published": None,
}
_MEASURES = ("accuracy", "bits_per_character")
_COSTS = ("inference_flops_ratio", "train_flops_ratio_run")


def rows(directory: str | os.PathLike) -> list[report_row.Row]:
    """Collect the finished runs below a directory, one row per experiment.

    Runs of one experiment have equal settings and different seeds. A run
    without settings has its own row.

    Args:
        directory: directory above work directories.

    Returns:
        One row per experiment, sorted by task and accuracy.

    Raises:
        FileNotFoundError: if there is no finished run.
        files.DamagedFile: if a result.json or connectivity.json is damaged.
    """
    found = files.find(files.path(directory), run_files.RESULT)
    if not found:
        raise FileNotFoundError(
            f"`report` needs finished runs ({run_files.RESULT}). Received: "
            f"none below {str(directory)!r}; make some with `rigl_tf train` or "
            "`sweep`"
        )
    groups = collections.defaultdict(list)
    for file in found:
        result = _read(file)
        if result.get("settings") is None:
            result["settings"] = {"directory": str(file.parent)}
        result["directory"] = str(file.parent)
        own = [result["settings"], *(result[n] for n in report_row.IDENTITY)]
        groups[run_settings.key(own)].append(result)
    ordered = sorted(
        groups.values(),
        key=lambda group: (group[0]["task"], _mean(group, "accuracy")),
    )
    return [_row(group) for group in ordered]


def labeled(directory: str | os.PathLike) -> dict[str, list[pathlib.Path]]:
    """Map the labels of the finished runs below a directory to their places.

    Args:
        directory: directory above work directories.

    Returns:
        A dictionary from a label to a list of work directories.
    """
    found = collections.defaultdict(list)
    for file in files.find(files.path(directory), run_files.RESULT):
        label = run_files.read_result(file).get("label")
        if label is not None:
            found[label].append(file.parent.resolve())
    return dict(found)


def beside_published(
    directory: str | os.PathLike, sweep: str
) -> list[report_row.Row]:
    """Return every published row of a sweep, with our runs beside it.

    Args:
        directory: directory above work directories.
        sweep: name of the sweep, e.g. "resnet50".

    Returns:
        Our rows where there are runs, otherwise rows with what was published.
    """
    ours = collections.defaultdict(list)
    with contextlib.suppress(FileNotFoundError):  # nothing was run
        for row in rows(directory):
            ours[row.published].append(row)
    return [
        row
        for wanted in published_accuracies.table(sweep)
        for row in ours.get(wanted["run"]) or [_not_run(wanted)]
    ]


def digitised(sweep: str) -> list[report_row.Row]:
    """Return what was read off figures, for the network of a sweep.

    Args:
        sweep: name of the sweep, e.g. "resnet50".
    """
    networks = {
        (row["dataset"], row["model"])
        for row in published_accuracies.table(sweep)
    }
    return [
        _not_run(row)
        for row in published_accuracies.rows()
        if row["digitised"] and (row["dataset"], row["model"]) in networks
    ]


def _read(file: pathlib.Path) -> dict[str, Any]:
    """Read the result of a run, and the shares that `connectivity` wrote."""
    result = {**_DEFAULTS, **run_files.read_result(file)}
    run_files.require_fields(file, result, (*report_row.IDENTITY, "accuracy"))
    if result["published"] not in {None, *published_accuracies.by_run()}:
        raise files.DamagedFile(
            file, f"names no published row: {result['published']!r}"
        )
    drawn = file.with_name(run_files.CONNECTIVITY)
    if drawn.exists():
        shares = run_files.read_connectivity(drawn)["edge_shares"]
        result["edge_shares"] = shares
    return result


def _row(group: Sequence[dict[str, Any]]) -> report_row.Row:
    """Return the row of the results of one experiment."""
    first = group[0]
    fields = {name: first[name] for name in report_row.IDENTITY}
    fields |= {"settings": first["settings"], "n": len(group)}
    fields["directories"] = tuple(result["directory"] for result in group)
    for name in _MEASURES:
        if all(name in result for result in group):
            values = [result[name] for result in group]
            fields[name] = statistics.fmean(values)
            deviation = statistics.stdev(values) if len(group) > 1 else 0.0
            fields[f"{name}_std"] = deviation
    if all("seed" in result for result in group):
        for measure, name in zip(_MEASURES, ("accuracies", "bits")):
            seeds = {r["seed"]: r.get(measure) for r in group}
            # Settings may hide what tells runs of one seed apart.
            if measure in fields and len(seeds) == len(group):
                fields[name] = seeds
    fields["test_examples"] = first.get("test_examples")
    for name in _COSTS:
        if all(name in result for result in group):
            fields[name] = _mean(group, name)
    if all("edge_shares" in result for result in group):
        shares = [result["edge_shares"] for result in group]
        fields["edge"] = [
            statistics.fmean(s[i] for s in shares) for i in (0, -1)
        ]
    return report_row.Row(**fields, **_published(first["published"]))


def _not_run(wanted: dict[str, str]) -> report_row.Row:
    """Return the row of a published result without runs of ours."""
    return report_row.Row(
        task=wanted["model"],
        method=wanted["as_published"],
        distribution=wanted["distribution"],
        sparsity=float(wanted["sparsity"]),
        pattern="unstructured",
        training_multiplier=float(wanted["training_multiplier"] or 1),
        settings={},
        n=0,
        published=wanted["run"] or None,
        **_fields(wanted),
    )


def _published(run: str | None) -> dict[str, Any]:
    """Return what was published of the row that a run reproduces."""
    if run is None:
        return {}
    return _fields(published_accuracies.by_run()[run])


def _fields(row: dict[str, str]) -> dict[str, Any]:
    """Return the fields of a report's row that a published row has."""
    return {
        "published_accuracy": float(row["accuracy"]),
        "published_std": float(row["std"]) if row["std"] else None,
        "published_n": int(row["n"]) if row["n"] else None,
        "digitised": row["digitised"] == "yes",
        "source": row["source"],
    }


def _mean(group: Sequence[dict[str, Any]], name: str) -> float:
    return statistics.fmean(result[name] for result in group)
