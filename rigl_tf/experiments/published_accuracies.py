"""Look up published accuracies, and the runs that reproduce them."""

from collections.abc import Mapping
import csv
import functools
import pathlib

_FILE = pathlib.Path(__file__).parent / "data" / "published_accuracies.csv"


@functools.cache
def rows() -> tuple[dict[str, str], ...]:
    """Return all published accuracies as dictionaries of strings.

    The fields are "run", SWEEP/LABEL of the line of `configs/sweeps/SWEEP.txt`
    that reproduces the row ("" for a reference without a run); "dataset",
    "model", "as_published" (the method as its authors call it), "distribution",
    "sparsity", "training_multiplier", "accuracy" and "std" in per cent,
    "reproduce" ("yes" or "reference"), and "source".
    """
    with open(_FILE, newline="", encoding="utf-8") as stream:
        return tuple(csv.DictReader(stream))


@functools.cache
def by_run() -> Mapping[str, dict[str, str]]:
    """Map each run that reproduces a published accuracy to its row."""
    return {row["run"]: row for row in rows() if row["run"]}


def table(name: str) -> list[dict[str, str]]:
    """Return the rows that the runs of a sweep reproduce, in its order.

    Args:
        name: name of the sweep, e.g. "resnet50".

    Raises:
        ValueError: if no row belongs to a sweep of this name.
    """
    found = [r for r in rows() if r["run"].partition("/")[0] == name]
    if not found:
        known = sorted({run.partition("/")[0] for run in by_run()})
        raise ValueError(
            f"Published tables are {', '.join(known)}. Received: {name!r}"
        )
    return found


def check(run: str) -> None:
    """Raise ValueError unless a run, SWEEP/LABEL, reproduces a row."""
    if run not in by_run():
        raise ValueError(
            "`published` must name a published row, e.g. "
            f"{next(iter(by_run()))!r}. Received: published={run!r}"
        )
