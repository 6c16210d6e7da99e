"""Rows of results as Markdown, CSV or HTML."""

import base64
import csv
import functools
import html
import io

from rigl_tf import text_tables
from rigl_tf.analysis import plots
from rigl_tf.experiments import knobs
from rigl_tf.experiments import results


def markdown(rows):
    """Format rows as a Markdown table; accuracies in per cent.

    Columns that are the same for all rows by default are left out; settings in
    which runs differ have one, see `knobs.differing`.

    Args:
        rows: of `results.rows` or `results.beside_published`.
    """
    header, *cells = _cells(rows)
    return text_tables.markdown(header, cells)


def comma_separated(rows):
    """Format all fields of rows as CSV; accuracies of ours in [0, 1].

    Of the settings those in which runs differ, see `knobs.differing`.
    """
    shown = knobs.differing(rows)
    rows = [
        {
            **{name: v for name, v in row.items() if name != "settings"},
            **{n: knobs.text(row, n) for n in shown if n in row["settings"]},
        }
        for row in rows
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def web_page(rows):
    """Format rows as one HTML page: accuracy over FLOPs, then the table.

    Raises:
        ImportError: matplotlib is not installed.
    """
    header, *cells = _cells(rows)

    def line(tag, values):
        inside = "".join(f"<{tag}>{html.escape(v)}</{tag}>" for v in values)
        return f"<tr>{inside}</tr>"

    body = "\n".join([line("th", header), *(line("td", c) for c in cells)])
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        "<title>rigl_tf report</title>\n<style>body{font-family:sans-serif;"
        "margin:2em}table{border-collapse:collapse;white-space:nowrap}th,td{"
        "padding:.3em .8em;border-bottom:1px solid #ddd;text-align:left}"
        "</style>\n"
        f"{_plots(rows)}\n<table>\n{body}\n</table>\n</html>"
    )


_COST_TITLES = ("inference FLOPs", "training FLOPs")
_ALONG_A_LINE = ("SPARSITY", "TRAINING_MULTIPLIER")
FORMATS = {"md": markdown, "csv": comma_separated, "html": web_page}


def _cells(rows):
    """Return the header and the cells of each row."""
    columns = [column for column in _columns(rows) if column is not None]
    header = [title for title, _ in columns]
    return [header, *([show(row) for _, show in columns] for row in rows)]


def _columns(rows):
    """List `(title, function from a row to its cell)`; None where not shown."""

    def shown_if(condition, title, show):
        return (title, show) if condition else None

    def any_has(name):
        return any(name in row for row in rows)

    return [
        ("task", lambda row: row["task"]),
        ("method", lambda row: row["method"]),
        # Dense training has no distribution.
        (
            "distribution",
            lambda row: row["distribution"] if row["sparsity"] else "–",
        ),
        ("sparsity", lambda row: f"{row['sparsity']:g}"),
        shown_if(
            any(row["pattern"] != "unstructured" for row in rows),
            "pattern",
            lambda row: row["pattern"],
        ),
        shown_if(
            any(row["training_multiplier"] != 1 for row in rows),
            "training",
            lambda row: f"{row['training_multiplier']:g}x",
        ),
        *(
            (name, functools.partial(knobs.text, name=name))
            for name in knobs.differing(rows)
        ),
        shown_if(
            any_has("bits_per_character"),
            "bits per character",
            lambda row: _mean(row, "bits_per_character", 1, 4),
        ),
        ("test accuracy, %", lambda row: _mean(row, "accuracy", 100, 2)),
        ("runs", lambda row: str(row["n"])),
        shown_if(any_has("published_accuracy"), "published, %", _theirs),
        *(
            (title, functools.partial(_cost, name=name))
            for title, name in zip(_COST_TITLES, results.COSTS)
        ),
        shown_if(any_has("edge"), "input connections at the edge", _edge),
    ]


def _cost(row, name):
    return f"{row[name]:.3f}x" if row.get(name) is not None else "–"


def _edge(row):
    edge = row.get("edge")
    return f"{edge[0]:.3f} → {edge[1]:.3f}" if edge else "–"


def _mean(row, name, unit, digits):
    if name not in row:
        return "–"
    text = f"{unit * row[name]:.{digits}f}"
    if row["n"] > 1:
        text += f" ± {unit * row[f'{name}_std']:.{digits}f}"
    return text


def _theirs(row):
    if "published_accuracy" not in row:
        return "–"
    text = f"{row['published_accuracy']:g}"
    if "published_std" in row:
        text += f" ± {row['published_std']:g}"
    return text


def _plots(rows):
    """Draw accuracy over FLOPs of training, one panel per task."""
    run = [row for row in rows if row["n"] and results.COSTS[1] in row]
    if not run:
        return "<p>No run has finished.</p>"
    lines = {}
    for task in {row["task"] for row in run}:
        of_task = [row for row in run if row["task"] == task]
        for title, members in _lines(of_task).items():
            lines |= {id(row): title for row in members}
    figure = plots.accuracy_over_flops(run, [lines[id(row)] for row in run])
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="accuracy over FLOPs" src="data:image/png;base64,{data}">'


def _lines(rows):
    """Group the rows of one task; return title -> rows.

    A title names the method and what distinguishes it from other lines of the
    same method: everything in which rows differ, but sparsity and length.
    """
    lines = {}
    for method in {row["method"] for row in rows}:
        alike = [row for row in rows if row["method"] == method]
        names = knobs.differing(alike)
        names = [name for name in names if name not in _ALONG_A_LINE]
        fields = [
            name
            for name in ("distribution", "pattern")
            if len({row[name] for row in alike}) > 1
        ]
        for row in alike:
            parts = [str(row[name]) for name in fields]
            parts += [f"{name}={knobs.text(row, name)}" for name in names]
            lines.setdefault(", ".join([method, *parts]), []).append(row)
    return lines
