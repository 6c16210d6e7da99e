"""Order the runs of a sweep, and divide them among machines."""

import ast
from collections.abc import Iterable
from collections.abc import Sequence
import contextlib
import dataclasses
import pathlib
import re

from rigl_tf import files


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that waits to be trained.

    Attributes:
        title: its number and the number of runs, "[1/9]".
        words: its words on the command line.
        workdir: path of its work directory.
    """

    title: str
    words: Sequence[str]
    workdir: pathlib.Path

    @property
    def place(self) -> str:
        """Absolute name of the work directory."""
        return str(self.workdir.resolve())


class Queue:
    """The runs of a sweep, in an order in which they can be trained.

    A run waits for the runs of the queue that it begins with. A run that
    another process is training is tried once more after all others.

    Args:
        runs: list of `(words, work directory)`, see `sweep_file.resolve`.
    """

    def __init__(self, runs: Sequence[tuple[Sequence[str], pathlib.Path]]):
        self._waiting = [
            Run(f"[{number}/{len(runs)}]", words, workdir)
            for number, (words, workdir) in enumerate(runs, start=1)
        ]
        self._unfinished = {run.place for run in self._waiting}
        self._held: list[Run] = []
        self._last_round = False

    def take(self, idle: bool = True) -> Run | None:
        """Return the next run that can be trained, or None.

        Args:
            idle: whether no other run of the queue is being trained. Then the
                runs that another process was training are tried once more.
        """
        run = self._next()
        if run is None and idle and self._held and not self._last_round:
            self._last_round = True
            self._waiting = self._held + self._waiting
            self._held = []
            run = self._next()
        return run

    def _next(self) -> Run | None:
        for run in self._waiting:
            if not needs(run.words) & self._unfinished:
                self._waiting.remove(run)
                return run
        return None

    def done(self, run: Run) -> None:
        """Mark a run as finished, so that others can begin with its result."""
        self._unfinished.discard(run.place)

    def hold(self, run: Run) -> None:
        """Mark a run as being trained by another process."""
        self._held.append(run)

    def left_out(self) -> list[str]:
        """Return a line with the reason for each run that was not trained."""
        held = "another process is training it"
        blocked = "it needs a run that is not finished"
        return [
            f"{run.title} left out: {reason}: {run.workdir}"
            for runs, reason in ((self._held, held), (self._waiting, blocked))
            for run in runs
        ]


def needs(words: Iterable[str]) -> set[str]:
    """Return the absolute paths that a run may begin with.

    Args:
        words: words of the run; INITIAL_RUN and INITIAL_MASKS name paths.
    """
    return {
        str(files.path(_unquoted(word.partition("=")[2])).resolve())
        for word in words
        if word.startswith("INITIAL_")
    }


def shard(
    runs: Sequence[tuple[list[str], pathlib.Path]], part: str
) -> list[tuple[list[str], pathlib.Path]]:
    """Return one part of the runs of a sweep: every N-th if none needs another.

    Runs that need each other's results are in the same part. Otherwise the
    parts are as equal as possible.

    Args:
        runs: list of `(words, work directory)`, see `sweep_file.resolve`.
        part: "I/N", part I of N, counted from 0.

    Returns:
        The runs of the part, in their order; empty if there are too few runs.

    Raises:
        ValueError: if `part` is not "I/N" with 0 <= I < N.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", part, re.ASCII)
    index, n_parts = map(int, found.groups()) if found else (0, 0)
    if not index < n_parts:
        raise ValueError(
            "`--shard` must be I/N, part I of N, with I from 0 to N - 1. "
            f"Received: --shard={part}"
        )
    sizes = [0] * n_parts
    mine: list[int] = []
    for group in _groups(runs):
        smallest = sizes.index(min(sizes))
        sizes[smallest] += len(group)
        if smallest == index:
            mine += group
    return [runs[number] for number in sorted(mine)]


def _groups(
    runs: Sequence[tuple[Sequence[str], pathlib.Path]],
) -> list[list[int]]:
    """List groups of runs, by number, that need each other's results."""
    numbers = {str(w.resolve()): number for number, (_, w) in enumerate(runs)}
    group_of = list(range(len(runs)))
    for number, (words, _) in enumerate(runs):
        for place in needs(words) & numbers.keys():
            pair = group_of[number], group_of[numbers[place]]
            low, high = min(pair), max(pair)
            group_of = [low if g == high else g for g in group_of]
    groups: dict[int, list[int]] = {}
    for number, group in enumerate(group_of):
        groups.setdefault(group, []).append(number)
    return list(groups.values())


def _unquoted(value: str) -> str:
    """Return the text of a value in gin's notation, without quotation marks."""
    with contextlib.suppress(ValueError, SyntaxError):
        return str(ast.literal_eval(value))
    return value
