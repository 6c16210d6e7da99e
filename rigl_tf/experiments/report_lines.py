"""Group the rows of a report into the lines of a plot."""

from collections.abc import Collection
from collections.abc import Sequence

from rigl_tf.experiments import report_row
from rigl_tf.experiments import run_settings

# Settings that vary along a line of the plot, unless its axis says otherwise.
_ALONG_A_LINE = ("SPARSITY", "TRAINING_MULTIPLIER")
# Fields that tell lines apart, of which the settings have another name.
_FIELDS = ("distribution", "pattern", "sparsity", "training_multiplier")


def lines(
    rows: Sequence[report_row.Row], without: Collection[str] = _ALONG_A_LINE
) -> dict[str, list[report_row.Row]]:
    """Group the rows of one task; return title -> rows.

    A title names the method and what distinguishes it from other lines of the
    same method: everything in which rows differ, except what may vary.

    Args:
        rows: rows of one task.
        without: names of the settings that may vary, by default sparsity and
            length.
    """
    found: dict[str, list[report_row.Row]] = {}
    for method in {row.method for row in rows}:
        alike = [row for row in rows if row.method == method]
        names = run_settings.differing(alike)
        names = [name for name in names if name not in without]
        fields = [
            name
            for name in _FIELDS
            if name.upper() not in without
            and len({getattr(row, name) for row in alike}) > 1
        ]
        for row in alike:
            parts = [_text(row, name) for name in fields]
            parts += [
                f"{name}={run_settings.text(row, name)}" for name in names
            ]
            found.setdefault(", ".join([method, *parts]), []).append(row)
    return found


def _text(row: report_row.Row, field: str) -> str:
    value = getattr(row, field)
    return f"{value:g}x" if field == "training_multiplier" else str(value)


def titles(
    rows: Sequence[report_row.Row], without: Collection[str] = _ALONG_A_LINE
) -> dict[int, str]:
    """Map the `id` of each row, of several tasks, to the title of its line.

    See `lines` for the arguments.
    """
    return {
        id(row): title
        for task in {row.task for row in rows}
        for title, members in lines(
            [row for row in rows if row.task == task], without
        ).items()
        for row in members
    }
