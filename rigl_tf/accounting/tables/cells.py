"""Tables of counted numbers, and the published numbers beside them."""

import csv
import dataclasses
import pathlib

from rigl_tf import text_tables

_PUBLISHED = pathlib.Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True)
class Cell:
    """A published number.

    Attributes:
        table: name of the table.
        row: label of the row.
        column: name of the column.
        source: short name of the publication.
        published: the number as printed.
        reason: reason why ours differs, or "".
    """

    table: str
    row: str
    column: str
    source: str
    published: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of our numbers.

    Attributes:
        name: name of the table, as in published_counts.csv.
        about: a sentence on what is counted, and how.
        columns: dictionary from column to its format, e.g. ".3f".
        rows: dictionary from label to a dictionary from column to number.
    """

    name: str
    about: str
    columns: dict[str, str]
    rows: dict[str, dict[str, float]]


def published(name: str) -> list[Cell]:
    """List the published cells of a table."""
    path = _PUBLISHED / "published_counts.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(x for x in lines if not x.startswith("#"))
    return [Cell(**row) for row in rows if row["table"] == name]


def markdown(table: Table) -> str:
    """Format a table: published cells beside ours, reasons below."""
    cells = {(c.row, c.column, c.source): c for c in published(table.name)}
    sources = {
        column: list(
            dict.fromkeys(
                c.source for c in cells.values() if c.column == column
            )
        )
        for column in table.columns
    }
    header = [table.name]
    for column in table.columns:
        header += [column, *sources[column]]
    lines: list[list[str]] = []
    reasons: list[str] = []
    for label, values in table.rows.items():
        line = [label]
        for column, form in table.columns.items():
            value = values.get(column)
            line.append("–" if value is None else format(value, form))
            for source in sources[column]:
                cell = cells.get((label, column, source))
                line.append(_shown(cell, reasons) if cell else "–")
        lines.append(line)
    text = [table.about, "", text_tables.markdown(header, lines)]
    if reasons:
        text.append("")
        text += [f"[{i}] {reason}  " for i, reason in enumerate(reasons, 1)]
    return "\n".join(text).rstrip()


def _shown(cell, reasons):
    if not cell.reason:
        return cell.published
    if cell.reason not in reasons:
        reasons.append(cell.reason)
    return f"{cell.published} [{reasons.index(cell.reason) + 1}]"
