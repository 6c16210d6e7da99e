"""Columns of a report that say how far its numbers hold."""

from collections.abc import Callable
from collections.abc import Sequence
import string

from rigl_tf.analysis import statistics
from rigl_tf.experiments import report_row
from rigl_tf.experiments import run_settings

Column = tuple[str, Callable[[report_row.Row], str]]
_NONE = "–"
_Rows = Sequence[report_row.Row]


def intervals(rows: _Rows) -> list[Column]:
    """Return columns of Student's intervals, groups, and published spreads.

    Args:
        rows: rows from `results.rows` or `results.beside_published`.
    """
    of_group = _groups(rows)
    columns: list[Column] = [
        ("95 % interval", _interval),
        ("group", lambda row: of_group.get(id(row), _NONE)),
    ]
    if any(row.published_accuracy is not None for row in rows):
        columns.append(("as published", _as_published))
    return columns


def against(rows: _Rows, method: str) -> list[Column]:
    """Return columns that compare each row with the same row of a method.

    The same row has an equal task, sparsity, training multiplier and pattern,
    and, if there are several, an equal distribution and equal settings. The
    p-values are those of Welch's test, adjusted by Holm over the table.

    Args:
        rows: rows of the report.
        method: name of the method.

    Raises:
        ValueError: no row has this method, or none has a partner with seeds.
    """
    methods = sorted({row.method for row in rows})
    if method not in methods:
        raise ValueError(
            f"`--against` must be a method of the report: {', '.join(methods)}."
            f" Received: {method!r}"
        )
    partners = {id(row): _partner(row, rows, method) for row in rows}
    found = {
        id(row): statistics.welch(_sample(row), _sample(other))
        for row in rows
        if (other := partners[id(row)]) is not None
    }
    if not found:
        raise ValueError(
            "`--against` compares rows of two runs or more with equal task, "
            "sparsity, training and pattern. Received: none beside "
            f"{method!r}; train more seeds"
        )
    adjusted = statistics.holm([one.p for one in found.values()])
    p = dict(zip(found, adjusted))

    def shown(text: Callable[[int], str]) -> Callable[[report_row.Row], str]:
        return lambda row: text(id(row)) if id(row) in found else _NONE

    return [
        (f"minus {method}", shown(lambda key: _difference(found[key]))),
        ("p (Holm)", shown(lambda key: f"{p[key]:.2g}")),
        ("Hedges' g", shown(lambda key: f"{found[key].hedges_g:.1f}")),
        ("seeds in pairs", lambda row: _paired(row, partners[id(row)])),
    ]


def noise(rows: _Rows) -> list[str]:
    """Return a line for each task on the noise of its test set.

    Args:
        rows: rows of the report.
    """
    lines = []
    for task in dict.fromkeys(row.task for row in rows):
        known = [
            row
            for row in rows
            if row.task == task
            and row.test_examples
            and row.accuracy
            and row.bits_per_character is None  # characters of one text
        ]
        if known:
            best = max(known, key=lambda row: row.accuracy or 0)
            n, accuracy = best.test_examples or 1, best.accuracy or 0
            error = 100 * statistics.accuracy_error(accuracy, n)
            lines.append(
                f"{task}: {n:,} test examples; at {100 * accuracy:.2f} % their "
                f"choice alone gives a standard error of {error:.2f} points."
            )
    return lines


def _sample(row: report_row.Row) -> statistics.Sample:
    return statistics.Sample(
        100 * (row.accuracy or 0), 100 * (row.accuracy_std or 0), row.n
    )


def _interval(row: report_row.Row) -> str:
    if row.n < 2:
        return _NONE
    found = statistics.mean_interval(_sample(row))
    return f"{found.low:.2f} to {found.high:.2f}"


def _cell(row: report_row.Row) -> tuple[object, ...]:
    """Return what rows have in common that may be compared."""
    return (
        row.task,
        round(row.sparsity, 3),
        row.training_multiplier,
        row.pattern,
    )


def _groups(rows: _Rows) -> dict[int, str]:
    """Return the letter of each row's group, by the id of the row.

    Letters begin anew in each cell of equal task, sparsity, training and
    pattern; A is the best group.
    """
    cells: dict[tuple[object, ...], list[report_row.Row]] = {}
    for row in rows:
        if row.n > 1:
            cells.setdefault(_cell(row), []).append(row)
    letters = {}
    for members in cells.values():
        members.sort(key=lambda row: row.accuracy or 0, reverse=True)
        numbers = statistics.groups([_sample(row) for row in members])
        for row, number in zip(members, numbers):
            letters[id(row)] = string.ascii_uppercase[number % 26]
    return letters


def _as_published(row: report_row.Row) -> str:
    """Say whether ours agrees with the published accuracy.

    With a published deviation: whether the difference is within two standard
    errors. For a published single run: whether our interval covers it.
    """
    if row.published_accuracy is None or row.n < 2:
        return _NONE
    own = _sample(row)
    if row.published_std is None or not row.published_n:
        inside = statistics.mean_interval(own).covers(row.published_accuracy)
        return "yes" if inside else "no"
    theirs = statistics.Sample(
        row.published_accuracy, row.published_std, row.published_n
    )
    error = (own.squared_error + theirs.squared_error) ** 0.5
    return "yes" if abs(own.mean - theirs.mean) <= 2 * error else "no"


def _partner(
    row: report_row.Row, rows: _Rows, method: str
) -> report_row.Row | None:
    """Return the row of a method that belongs to a row; None if none does."""
    if row.method == method or row.n < 2:
        return None
    found = [
        other
        for other in rows
        if other.method == method and other.n > 1 and _cell(other) == _cell(row)
    ]
    if len(found) > 1:
        found = [o for o in found if o.distribution == row.distribution]
    if len(found) > 1:
        names = run_settings.differing(found)
        shared = [name for name in names if name in row.settings]
        found = [
            other
            for other in found
            if all(row.settings[n] == other.settings.get(n) for n in shared)
        ]
    return found[0] if len(found) == 1 else None


def _difference(found: statistics.Difference) -> str:
    return f"{found.estimate:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _paired(row: report_row.Row, other: report_row.Row | None) -> str:
    """Compare the seeds that two rows share, by a paired t interval."""
    if other is None:
        return _NONE
    own, theirs = row.accuracies or {}, other.accuracies or {}
    seeds = sorted(own.keys() & theirs.keys())
    if len(seeds) < 2:
        return f"{len(seeds)}"
    found = statistics.paired(
        [100 * own[seed] for seed in seeds],
        [100 * theirs[seed] for seed in seeds],
    )
    return f"{len(seeds)}: {_difference(found)}"
