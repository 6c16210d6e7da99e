"""Format the rows of a report as Markdown, CSV or HTML."""

import base64
from collections.abc import Callable
from collections.abc import Sequence
import csv
import functools
import html
import io
from typing import Any

from rigl_tf import text_tables
from rigl_tf.experiments import report_plot
from rigl_tf.experiments import report_row
from rigl_tf.experiments import report_statistics
from rigl_tf.experiments import run_settings

_Column = report_statistics.Column
# Fields of a row that are not written to CSV.
_NOT_A_CELL = ("settings", "accuracies", "bits", "directories", "digitised")


def markdown(
    rows: Sequence[report_row.Row], extra: Sequence[_Column] = ()
) -> str:
    """Format rows as a Markdown table, with accuracies in per cent.

    Columns in which all rows have the default are left out. Each setting in
    which runs differ has a column, see `run_settings.differing`.

    Args:
        rows: rows from `results.rows` or `results.beside_published`.
        extra: columns of `report_statistics`, which come last.

    Returns:
        The table, and below it the noise of the test sets.
    """
    header, *cells = _cells(rows, extra)
    table = text_tables.markdown(header, cells)
    return "\n\n".join([table, *report_statistics.noise(rows)])


def comma_separated(
    rows: Sequence[report_row.Row], extra: Sequence[_Column] = ()
) -> str:
    """Format all fields of rows as CSV, with our accuracies in [0, 1].

    Each setting in which runs differ has a column, see
    `run_settings.differing`.

    Args:
        rows: rows from `results.rows` or `results.beside_published`.
        extra: columns of `report_statistics`, which come last.
    """
    shown = run_settings.differing(rows)
    records = [
        _record(row, shown) | {title: show(row) for title, show in extra}
        for row in rows
    ]
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().rstrip("\n")


def _record(row: report_row.Row, shown: Sequence[str]) -> dict[str, Any]:
    """Return the cells of a row by column, in the order of the columns."""
    # The published row belongs to the identity of runs, even if it is None.
    first = [n for n in report_row.IDENTITY if row.n or n != "published"]
    record = {name: getattr(row, name) for name in first} | row.known()
    for name in _NOT_A_CELL:
        record.pop(name, None)
    for name in shown:
        if name in row.settings:
            record[name] = run_settings.text(row, name)
    return record


def web_page(
    rows: Sequence[report_row.Row], extra: Sequence[_Column] = ()
) -> str:
    """Format rows as an HTML page: a plot of accuracy over FLOPs, and a table.

    Args:
        rows: rows from `results.rows` or `results.beside_published`.
        extra: columns of `report_statistics`, which come last.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    header, *cells = _cells(rows, extra)

    def line(tag: str, values: Sequence[str]) -> str:
        inside = "".join(f"<{tag}>{html.escape(v)}</{tag}>" for v in values)
        return f"<tr>{inside}</tr>"

    notes = "".join(
        f"<p>{html.escape(text)}</p>\n"
        for text in report_statistics.noise(rows)
    )
    body = "\n".join([line("th", header), *(line("td", c) for c in cells)])
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        "<title>rigl_tf report</title>\n<style>body{font-family:sans-serif;"
        "margin:2em}table{border-collapse:collapse;white-space:nowrap}th,td{"
        "padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}"
        "</style>\n"
        f"{_plots(rows)}\n<table>\n{body}\n</table>\n{notes}</html>"
    )


FORMATS: dict[str, Callable[..., str]] = {
    "md": markdown,
    "csv": comma_separated,
    "html": web_page,
}


def _cells(
    rows: Sequence[report_row.Row], extra: Sequence[_Column]
) -> list[list[str]]:
    """Return the header, and the cells of each row."""
    columns = [column for column in _columns(rows) if column is not None]
    columns += extra
    header = [title for title, _ in columns]
    return [header, *([show(row) for _, show in columns] for row in rows)]


def _columns(rows: Sequence[report_row.Row]) -> list[_Column | None]:
    """List `(title, function from a row to its cell)`; None where not shown."""

    def shown_if(
        condition: bool, title: str, show: Callable[[report_row.Row], str]
    ) -> _Column | None:
        return (title, show) if condition else None

    def is_known(name: str) -> bool:
        return any(getattr(row, name) is not None for row in rows)

    return [
        ("task", lambda row: row.task),
        ("method", lambda row: row.method),
        # Dense training has no distribution.
        ("distribution", lambda row: row.distribution if row.sparsity else "–"),
        ("sparsity", lambda row: f"{row.sparsity:g}"),
        shown_if(
            any(row.pattern != "unstructured" for row in rows),
            "pattern",
            lambda row: row.pattern,
        ),
        shown_if(
            any(row.training_multiplier != 1 for row in rows),
            "training",
            lambda row: f"{row.training_multiplier:g}x",
        ),
        *(
            (name, functools.partial(run_settings.text, name=name))
            for name in run_settings.differing(rows)
        ),
        shown_if(is_known("bits_per_character"), "bits per character", _bits),
        ("test accuracy, %", _accuracy),
        ("runs", lambda row: str(row.n)),
        shown_if(is_known("published_accuracy"), "published, %", _published),
        ("inference FLOPs", lambda row: _cost(row.inference_flops_ratio)),
        ("training FLOPs", lambda row: _cost(row.train_flops_ratio_run)),
        shown_if(is_known("edge"), "input connections at the edge", _edge),
    ]


def _cost(ratio: float | None) -> str:
    return f"{ratio:.3f}x" if ratio is not None else "–"


def _edge(row: report_row.Row) -> str:
    return f"{row.edge[0]:.3f} → {row.edge[1]:.3f}" if row.edge else "–"


def _accuracy(row: report_row.Row) -> str:
    if row.accuracy is None or row.accuracy_std is None:
        return "–"
    deviation = f" ± {100 * row.accuracy_std:.2f}" if row.n > 1 else ""
    return f"{100 * row.accuracy:.2f}{deviation}"


def _bits(row: report_row.Row) -> str:
    if row.bits_per_character is None or row.bits_per_character_std is None:
        return "–"
    deviation = f" ± {row.bits_per_character_std:.4f}" if row.n > 1 else ""
    return f"{row.bits_per_character:.4f}{deviation}"


def _published(row: report_row.Row) -> str:
    if row.published_accuracy is None:
        return "–"
    std = row.published_std
    deviation = f" ± {std:g}" if std is not None else ""
    return f"{row.published_accuracy:g}{deviation}"


def _plots(rows: Sequence[report_row.Row]) -> str:
    """Draw accuracy over FLOPs of training, one panel per task."""
    run = [row for row in rows if row.train_flops_ratio_run is not None]
    if not run:
        return "<p>No run has finished.</p>"
    points = report_plot.results_over(run, "train_flops")
    figure = report_plot.figure_of(points, "train_flops")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="accuracy over FLOPs" src="data:image/png;base64,{data}">'
