"""Order in which the runs of a sweep are trained, and their division."""

import ast
import contextlib
import dataclasses
import re

from rigl_tf import files


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that a process has to make.

    Attributes:
        title: its number and that of all runs, "[1/9]".
        words: its words.
        workdir: path of its work directory.
    """

    title: str
    words: list
    workdir: object

    @property
    def place(self):
        """Name of the work directory, the same however it was written."""
        return str(self.workdir.resolve())


class Queue:
    """Runs that are to be made, in the order in which they may begin.

    A run waits for those runs of the queue whose results it begins with. One
    that another process is training is tried once more after all others.

    Args:
        runs: list of `(words, work directory)`, see `sweep_file.resolve`.
    """

    def __init__(self, runs):
        self._waiting = [
            Run(f"[{number}/{len(runs)}]", words, workdir)
            for number, (words, workdir) in enumerate(runs, start=1)
        ]
        self._unfinished = {run.place for run in self._waiting}
        self._held = []
        self._last_round = False

    def take(self, idle=True):
        """Return the next run that may begin, or None.

        Args:
            idle: whether no other run is being made here; then nothing will
                end that the rest waits for, and it is time to try the runs of
                other processes once more.
        """
        run = self._next()
        if run is None and idle and self._held and not self._last_round:
            self._last_round = True
            self._waiting = self._held + self._waiting
            self._held = []
            run = self._next()
        return run

    def _next(self):
        for run in self._waiting:
            if not needs(run.words) & self._unfinished:
                self._waiting.remove(run)
                return run
        return None

    def done(self, run):
        """Note that a run is finished: others may begin with its result."""
        self._unfinished.discard(run.place)

    def hold(self, run):
        """Note that another process is training a run."""
        self._held.append(run)

    def left_out(self):
        """List a line for each run that was not made, with the reason."""
        held = "another process is training it"
        blocked = "it needs a run that is not finished"
        return [
            f"{run.title} left out: {reason}: {run.workdir}"
            for runs, reason in ((self._held, held), (self._waiting, blocked))
            for run in runs
        ]


def needs(words):
    """Return the values of settings that may be other runs' directories."""
    return {
        str(files.path(_unquoted(word.partition("=")[2])).resolve())
        for word in words
        if word.startswith("INITIAL_")
    }


def shard(runs, part):
    """Return one part of the runs of a sweep; every N-th if all stand alone.

    Runs that need each other's results are in the same part; otherwise parts
    are as equal as possible.

    Args:
        runs: list of `(words, work directory)`, see `sweep_file.resolve`.
        part: "I/N", part I of N, counted from 0.

    Returns:
        list like `runs`, in their order; empty if there are too few runs.

    Raises:
        ValueError: `part` is not "I/N" with 0 <= I < N.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", part, re.ASCII)
    index, n_parts = map(int, found.groups()) if found else (0, 0)
    if not index < n_parts:
        raise ValueError(
            "`--shard` must be I/N, part I of N, with I from 0 to N - 1. "
            f"Received: --shard={part}"
        )
    sizes = [0] * n_parts
    mine = []
    for group in _groups(runs):
        smallest = sizes.index(min(sizes))
        sizes[smallest] += len(group)
        if smallest == index:
            mine += group
    return [runs[number] for number in sorted(mine)]


def _groups(runs):
    """List the numbers of runs that are connected by what they need."""
    numbers = {str(w.resolve()): number for number, (_, w) in enumerate(runs)}
    group_of = list(range(len(runs)))
    for number, (words, _) in enumerate(runs):
        for place in needs(words) & numbers.keys():
            pair = group_of[number], group_of[numbers[place]]
            low, high = min(pair), max(pair)
            group_of = [low if g == high else g for g in group_of]
    groups = {}
    for number, group in enumerate(group_of):
        groups.setdefault(group, []).append(number)
    return list(groups.values())


def _unquoted(value):
    """Return what a value in gin's notation says, if it is a string."""
    with contextlib.suppress(ValueError, SyntaxError):
        value = ast.literal_eval(value)
    return str(value)
