"""Columns of a report that say how far its numbers hold."""

from collections.abc import Callable
from collections.abc import Sequence
import string

from rigl_tf.analysis import statistics
from rigl_tf.experiments import report_row
from rigl_tf.experiments import run_settings

Column = tuple[str, Callable[[report_row.Row], str]]
_NONE = "–"
# Distributions of masks that another run has found.
_OF_OTHER_RUNS = {"initial_masks", "shuffled_masks"}
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

    The same row has an equal task, sparsity, distribution, training multiplier
    and pattern, and equal settings, see `run_settings.alike`. Masks that come
    from another run may have any distribution, and a dense row is the same for
    all sparsities, distributions and patterns. A row with several such partners
    is compared with none. The p-values are those of Welch's test, adjusted by
    Holm over the table.

    Args:
        rows: rows of the report.
        method: name of the method.

    Raises:
        ValueError: no row has this method, or none has a partner with seeds.
    """
    methods = sorted({row.method for row in rows if row.n})
    if method not in methods:
        raise ValueError(
            f"`--against` must be a method of the report: {', '.join(methods)}."
            f" Received: {method!r}"
        )
    partners = {id(row): _partner(row, rows, method) for row in rows}
    found = {
        id(row): statistics.welch(sample(row), sample(other))
        for row in rows
        if (other := partners[id(row)]) is not None
    }
    if not found:
        raise ValueError(
            "`--against` compares rows of two runs or more with equal task, "
            "sparsity, distribution, training, pattern and settings. Received: "
            f"none beside {method!r}; train more seeds, or with equal settings"
        )
    adjusted = statistics.holm([one.p for one in found.values()])
    p = dict(zip(found, adjusted))

    def shown(
        text: Callable[[report_row.Row, report_row.Row], str],
    ) -> Callable[[report_row.Row], str]:
        def cell(row: report_row.Row) -> str:
            other = partners[id(row)]
            return text(row, other) if other is not None else _NONE

        return cell

    return [
        (f"minus {method}", shown(lambda r, _: _difference(found[id(r)], r))),
        ("p (Holm)", shown(lambda r, _: f"{p[id(r)]:.2g}")),
        ("Hedges' g", shown(lambda r, _: f"{found[id(r)].hedges_g:.1f}")),
        ("runs of both", shown(lambda r, other: f"{r.n}, {other.n}")),
        ("seeds in pairs", shown(_paired)),
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
            and not row.is_text  # its characters depend on each other
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


def sample(row: report_row.Row) -> statistics.Sample:
    """Return the results by which a row is judged: bits, or accuracies in %."""
    if row.is_text:
        return statistics.Sample(
            row.bits_per_character or 0, row.bits_per_character_std or 0, row.n
        )
    return statistics.Sample(
        100 * (row.accuracy or 0), 100 * (row.accuracy_std or 0), row.n
    )


def _interval(row: report_row.Row) -> str:
    if row.n < 2:
        return _NONE
    found = statistics.mean_interval(sample(row))
    digits = _digits(row)
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def _digits(row: report_row.Row) -> int:
    """Return the number of decimals: of bits per character, or of per cents."""
    return 4 if row.is_text else 2


def _cell(row: report_row.Row) -> tuple[object, ...]:
    """Return what rows have in common that may be compared."""
    return (
        row.task,
        round(row.sparsity, 3),
        row.training_multiplier,
        row.pattern,
        row.is_text,
    )


def _groups(rows: _Rows) -> dict[int, str]:
    """Return the letter of each row's group, by the id of the row.

    Letters begin anew in each cell of equal task, sparsity, training and
    pattern; A is the best group. See `statistics.groups` for the rule.
    """
    cells: dict[tuple[object, ...], list[report_row.Row]] = {}
    for row in rows:
        if row.n > 1:
            cells.setdefault(_cell(row), []).append(row)
    letters = {}
    for members in cells.values():
        members.sort(key=lambda row: sample(row).mean)
        if not members[0].is_text:
            members.reverse()
        numbers = statistics.groups([sample(row) for row in members])
        for row, number in zip(members, numbers):
            letters[id(row)] = _letter(number)
    return letters


def _letter(number: int) -> str:
    """Return A to Z, then A2 to Z2, and so on."""
    turn, place = divmod(number, len(string.ascii_uppercase))
    return string.ascii_uppercase[place] + (str(turn + 1) if turn else "")


def _as_published(row: report_row.Row) -> str:
    """Say whether ours agrees with the published accuracy, and the difference.

    With a published deviation: whether the difference is within two standard
    errors. For a published single run: whether our interval covers it.
    """
    if row.published_accuracy is None or row.n < 2 or row.is_text:
        return _NONE
    own = sample(row)
    if row.published_std is None or not row.published_n:
        found = statistics.mean_interval(own)
        inside = found.covers(row.published_accuracy)
        middle, low, high = (
            f"{end - row.published_accuracy:+.2f}"
            for end in (found.estimate, found.low, found.high)
        )
        return f"{'yes' if inside else 'no'}: {middle} [{low}, {high}]"
    theirs = statistics.Sample(
        row.published_accuracy, row.published_std, row.published_n
    )
    bound = 2 * (own.squared_error + theirs.squared_error) ** 0.5
    difference = own.mean - theirs.mean
    verdict = "yes" if abs(difference) <= bound else "no"
    return f"{verdict}: {difference:+.2f} ± {bound:.2f}"


def _partner(
    row: report_row.Row, rows: _Rows, method: str
) -> report_row.Row | None:
    """Return the row of a method that belongs to a row; None if none does."""
    if row.method == method or row.n < 2:
        return None
    found = [
        other
        for other in rows
        if other.method == method
        and other.n > 1
        and _belong_together(row, other)
        and run_settings.alike(row, other)
    ]
    return found[0] if len(found) == 1 else None


def _belong_together(row: report_row.Row, other: report_row.Row) -> bool:
    if row.is_text != other.is_text:
        return False
    if not other.sparsity:  # dense
        names = ("task", "training_multiplier")
        return all(getattr(row, n) == getattr(other, n) for n in names)
    kinds = {row.distribution, other.distribution} - _OF_OTHER_RUNS
    return _cell(row) == _cell(other) and len(kinds) < 2


def _difference(found: statistics.Difference, row: report_row.Row) -> str:
    ends = [found.estimate, found.low, found.high]
    middle, low, high = (f"{end:+.{_digits(row)}f}" for end in ends)
    return f"{middle} [{low}, {high}]"


def _paired(row: report_row.Row, other: report_row.Row) -> str:
    """Compare the seeds that two rows share, by a paired t interval."""
    own, theirs = by_seed(row), by_seed(other)
    seeds = sorted(own.keys() & theirs.keys())
    if len(seeds) < 2:
        return f"{len(seeds)}"
    found = statistics.paired(
        [own[seed] for seed in seeds], [theirs[seed] for seed in seeds]
    )
    return f"{len(seeds)}: {_difference(found, row)}"


def by_seed(row: report_row.Row) -> dict[int, float]:
    """Map seeds to the results by which a row is judged, see `sample`."""
    if row.is_text:
        return row.bits or {}
    return {seed: 100 * v for seed, v in (row.accuracies or {}).items()}
