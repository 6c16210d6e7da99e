"""Format tables as text: aligned columns for terminals, and Markdown."""

from collections.abc import Iterable
from collections.abc import Sequence


def aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table for a terminal: first column left-aligned, others right.

    Args:
        header: titles of the columns.
        rows: cells of each row, one per column.
    """
    lines = [header, *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            [first.ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(rest, widths[1:])]
        )
        for first, *rest in lines
    )


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; vertical bars inside cells are escaped.

    Args:
        header: titles of the columns.
        rows: cells of each row, one per column.
    """
    lines = [header, ["---"] * len(header), *rows]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
