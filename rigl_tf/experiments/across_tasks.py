"""Compare the methods of a report over all its tasks and sparsities."""

from collections.abc import Sequence

from rigl_tf import text_tables
from rigl_tf.analysis import statistics
from rigl_tf.analysis import task_statistics
from rigl_tf.experiments import report_row

_FEWEST = 2
# Scores of the seeds of a method, by task, sparsity and length of training.
_Scores = dict[tuple[object, ...], list[float]]


def table(rows: Sequence[report_row.Row], against: str | None) -> str:
    """Return a table of interquartile means over tasks and sparsities.

    A score is the accuracy of a run over the mean accuracy of dense training
    of its task, of the same length if there is one, or else the only one. Only
    cells (task, sparsity, length of training) count in which every method has
    runs; intervals are stratified bootstraps, see `task_statistics`.

    Args:
        rows: rows of the report.
        against: method for the probability of improvement, or None.

    Raises:
        ValueError: a task has no dense runs, a method has two rows in a cell,
            the methods share fewer than two cells, or `against` is unknown.
    """
    scores = _scores(rows)
    shared = sorted(set.intersection(*map(set, scores.values())), key=str)
    if len(shared) < _FEWEST:
        fewest = min(scores, key=lambda method: len(scores[method]))
        raise ValueError(
            "`--across_tasks` needs two cells of task and sparsity or more in "
            f"which every method has runs. Received: {len(shared)}, with "
            f"{fewest!r} in {len(scores[fewest])} of its own; run more of it, "
            "or name a directory without it"
        )
    if against is not None and against not in scores:
        raise ValueError(
            f"`--against` must be one of the methods {', '.join(scores)}. "
            f"Received: {against!r}"
        )
    header = ["method", "cells", "runs", "interquartile mean, dense = 1"]
    if against is not None:
        header.append(f"P(better than {against})")
    lines = []
    for method, cells in scores.items():
        own = [cells[cell] for cell in shared]
        middle = task_statistics.interquartile_interval(own)
        line = [method, str(len(own)), str(sum(map(len, own))), _text(middle)]
        if against is not None:
            other = [scores[against][cell] for cell in shared]
            better = _text(task_statistics.improvement(own, other))
            line.append("–" if method == against else better)
        lines.append(line)
    return text_tables.markdown(header, lines)


def _scores(rows: Sequence[report_row.Row]) -> dict[str, _Scores]:
    found: dict[str, _Scores] = {}
    for row in rows:
        if not row.sparsity or not row.n:
            continue
        dense = _dense(row, rows)
        cell = (row.task, round(row.sparsity, 3), row.training_multiplier)
        cells = found.setdefault(row.method, {})
        if cell in cells:
            raise ValueError(
                "`--across_tasks` takes one row of each method per task, "
                "sparsity and length of training. Received: two of "
                f"{row.method!r} for {row.task!r} at {row.sparsity:g}; name a "
                "directory with one of them"
            )
        values = (row.accuracies or {0: row.accuracy or 0.0}).values()
        cells[cell] = [value / dense for value in values]
    if not found:
        raise ValueError(
            "`--across_tasks` needs runs of sparse methods. Received: none"
        )
    return found


def _dense(row: report_row.Row, rows: Sequence[report_row.Row]) -> float:
    """Return the mean accuracy of dense training that belongs to a row."""
    found = [
        other
        for other in rows
        if other.method == "dense" and other.task == row.task and other.accuracy
    ]
    if len(found) > 1:
        length = row.training_multiplier
        found = [r for r in found if r.training_multiplier == length]
    if len(found) != 1:
        raise ValueError(
            "`--across_tasks` compares with dense training: run methods/dense "
            f"too, with one setting. Received: {len(found)} rows of it for "
            f"{row.task!r} at {row.training_multiplier:g}x"
        )
    return found[0].accuracy or 1.0


def _text(found: statistics.Interval) -> str:
    return f"{found.estimate:.4f} [{found.low:.4f}, {found.high:.4f}]"
