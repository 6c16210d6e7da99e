"""Read sparsity distributions from CSV tables."""

from collections.abc import Mapping
import csv
import os
import pathlib

from rigl_tf import checks
from rigl_tf.masks import budgets


def from_table(table: str | os.PathLike) -> budgets.Distribution:
    """Return the distribution that a table contains.

    Its column is chosen by the overall sparsity.

    Args:
        table: path of a CSV file with the column "kernel", names of kernels,
            and one column per overall sparsity, with that number as its title.
            Lines that begin with "#" are comments.

    Returns:
        A function with the arguments of `distributions.uniform`.
    """
    path = pathlib.Path(table)
    columns = _read_table(path)

    def distribution(
        shapes: budgets.Shapes,
        sparsity: float,
        *,
        custom: Mapping[str, float] | None = None,
        count_custom: bool = False,
    ) -> dict[str, float]:
        """Look up the sparsities. See `uniform` for the arguments."""
        found = [s for s in columns if abs(s - sparsity) < 1e-9]
        if not found:
            raise ValueError(
                f"`sparsity` must be one that {path.stem} has a column for: "
                f"{', '.join(map(str, columns))}. "
                f"Received: sparsity={sparsity}"
            )
        table = columns[found[0]]
        missing = shapes.keys() - table.keys()
        if missing:
            raise ValueError(
                f"{path.stem} must have a row for each kernel (of the model "
                f"that it is for). Received: kernel {min(missing)!r}"
            )
        if count_custom:
            raise ValueError(
                "`count_custom` must be False for a table, which has no "
                f"budget. Received: count_custom={count_custom}"
            )
        fixed, free, _ = budgets.split(shapes, sparsity, custom, False)
        return budgets.in_order(
            shapes, fixed, {name: table[name] for name in free}
        )

    distribution.__name__ = path.stem
    return distribution


def _read_table(path):
    """Read a table as `{overall sparsity: {kernel: sparsity}}`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = list(csv.DictReader(x for x in lines if not x.startswith("#")))
    if not rows or list(rows[0])[0] != "kernel" or len(rows[0]) < 2:
        raise ValueError(
            '`table` needs a column "kernel" and one per overall sparsity. '
            f"Received: {str(path)!r}"
        )
    columns = {}
    for name in list(rows[0])[1:]:
        for row in rows:
            where = f"{path.name}, column {name!r}, row {row['kernel']!r}"
            try:
                overall, value = float(name), float(row[name])
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"`table` must hold numbers. Received: {where}: {row[name]}"
                ) from error
            checks.fraction(where, value, include_one=False)
            columns.setdefault(overall, {})[row["kernel"]] = value
    return columns
