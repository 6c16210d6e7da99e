"""Run one analysis: compute, print a table, write JSON and a picture."""

import argparse
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import pathlib
import time
from typing import TYPE_CHECKING
from typing import Any

import tqdm

from rigl_tf import files
from rigl_tf import text_tables
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import session
from rigl_tf.experiments.analyze import analyzed_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DIRECTORY = "analysis"


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What an analysis found.

    Attributes:
        header: titles of the table's columns.
        rows: cells of the table.
        found: the numbers, for the JSON file.
        figure: the picture.
        runs: the analyzed runs, for the JSON file.
        beside: directory below which files go, unless `--output` names one.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    found: Any
    figure: "Figure"
    runs: Iterable[analyzed_runs.Analyzed] = ()
    beside: pathlib.Path = pathlib.Path()


def analyze(arguments: argparse.Namespace) -> int:
    """Run the analysis that the command line names."""
    began = time.monotonic()
    with exit_codes.mistakes(), exit_codes.stop_at_once():
        outcome: Outcome = arguments.analysis(arguments)
        print(text_tables.markdown(outcome.header, outcome.rows))
        directory = outcome.beside / _DIRECTORY
        if arguments.output is not None:
            directory = files.path(arguments.output)
        seconds = round(time.monotonic() - began, 1)
        _write(directory, arguments, outcome, seconds)
        print(f"\nwritten to {directory / arguments.kind}.json and .png")
    return 0


def _write(directory, arguments, outcome, seconds):
    with session.quiet_start():
        from rigl_tf.experiments import result_fields

    given = {
        name: value
        for name, value in vars(arguments).items()
        if not callable(value) and name not in ("command", "output")
    }
    directory.mkdir(parents=True, exist_ok=True)
    content = {
        "arguments": given,
        "runs": [run.describe() for run in outcome.runs],
        "found": outcome.found,
        "seconds": seconds,
        "versions": result_fields.versions(),
    }
    result_fields.write_json(directory / f"{arguments.kind}.json", content)
    with files.replacing(directory / f"{arguments.kind}.png") as temporary:
        outcome.figure.savefig(temporary, dpi=150)


class Bar:
    """A progress bar on a terminal: call it with what is done, and all."""

    def __init__(self, title: str):
        self._title = title
        self._bar: Any = None

    def __call__(self, done: int, n_all: int) -> None:
        """Show that `done` of `n_all` are done."""
        if self._bar is None:
            self._bar = tqdm.tqdm(
                total=n_all, desc=self._title, disable=None, leave=False
            )
        self._bar.update(done - self._bar.n)
        if done >= n_all:
            self._bar.close()
