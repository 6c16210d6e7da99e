"""Read sweep files: one run per line, as the words of a command line.

Empty lines and lines that begin with # are skipped. `SEED={0,1,2}` stands for
three runs, and `{SEED}` for the number in the other words of the line. A line
can begin with a label, `pruned-{SEED}:`. In the lines below it
INITIAL_RUN=@pruned-0, or INITIAL_MASKS=@pruned-0, stands for the work directory
of that run; the same works in later sweeps with the same --workdir, once the
run is finished.
"""

import collections
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import hashlib
import itertools
import os
import pathlib
import re

from rigl_tf import files
from rigl_tf.experiments import config
from rigl_tf.experiments import published_accuracies
from rigl_tf.experiments import results

# `NAME={a,b}`; a brace with a quotation mark begins a Python dictionary.
_CHOICES = re.compile(r"^([A-Za-z_][\w.]*)=\{([^{}'\"][^{}]*,[^{}]*)\}$")
_LABEL = re.compile(r"^(INITIAL_[A-Z]+)=@([\w.-]+)$")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        words: its words on the command line; "@label" stands for the work
            directory of another run.
        label: the name by which other lines refer to the run, or "".
    """

    words: tuple[str, ...]
    label: str = ""


def read(name: str, words: Sequence[str] = ()) -> list[Run]:
    """Read a sweep file.

    If the label of a line is that of a published row, its runs get the word
    PUBLISHED, so that reports show them beside that row.

    Args:
        name: path, or name of a shipped file such as "sweeps/digits_mlp".
        words: additional words for every run.

    Returns:
        The runs, in the order of the lines.

    Raises:
        config.ConfigError: if there is no such file, if it has no run, or if
            two runs have the same label.
    """
    file = config.sweep_file(name)
    runs = [
        _mark(run, file.stem)
        for line in map(
            str.split, file.read_text(encoding="utf-8").splitlines()
        )
        if line and not line[0].startswith("#")
        for run in _expand([*line, *words])
    ]
    if not runs:
        raise config.ConfigError(
            f"A sweep needs at least one run. Received: {name!r}"
        )
    labels = collections.Counter(run.label for run in runs if run.label)
    for label, count in labels.items():
        if count > 1:
            raise config.ConfigError(
                f"Labels of a sweep must differ. Received: {label!r} twice"
            )
    return runs


def run_name(words: Sequence[str]) -> str:
    """Return the name of a run: its files, and a hash of all its words."""
    names = [pathlib.PurePath(w).stem for w in words if config.names_file(w)]
    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]
    return "-".join([*names, digest])


def resolve(
    runs: Sequence[Run], directory: str | os.PathLike
) -> list[tuple[list[str], pathlib.Path]]:
    """Return the words and the work directory of each run.

    Args:
        runs: the runs of a sweep.
        directory: parent of the work directories.

    Returns:
        A list of `(words, work directory)`, in which work directories replace
        labels.

    Raises:
        config.ConfigError: if a label belongs neither to an earlier line nor
            to exactly one finished run below the directory.
        ValueError: if two runs have the same words.
    """
    labels = _Labels(runs, directory)
    resolved = {}
    for run in runs:
        words = [
            _LABEL.sub(lambda m: f"{m[1]}={str(labels.find(m[2]))!r}", word)
            for word in run.words
        ]
        workdir = files.path(directory) / run_name(run.words)
        if run.label:
            # After naming: the label does not change the run.
            words.append(f"LABEL={run.label!r}")
            labels.places[run.label] = workdir.resolve()
        if str(workdir) in resolved:
            raise ValueError(
                "The runs of a sweep must differ. Received twice: "
                f"{' '.join(run.words)}"
            )
        resolved[str(workdir)] = words, workdir
    return list(resolved.values())


def _expand(words: Sequence[str]) -> list[Run]:
    """Return the runs that a line stands for."""
    choices = {}
    for word in words:
        found = _CHOICES.match(word)
        if found:
            choices[found[1]] = found[2].split(",")
    runs = []
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values))
        filled = [_fill(word, chosen) for word in words]
        if filled[0].endswith(":"):
            runs.append(Run(tuple(filled[1:]), filled[0][:-1]))
        else:
            runs.append(Run(tuple(filled)))
    return runs


def _mark(run: Run, sweep: str) -> Run:
    """Add the word PUBLISHED if the run reproduces a published row."""
    row = f"{sweep}/{run.label}"
    if row not in published_accuracies.by_run():
        return run
    return Run((*run.words, f"PUBLISHED={row}"), run.label)


def _fill(word: str, chosen: Mapping[str, str]) -> str:
    """Replace the choices in a word by the chosen values."""
    found = _CHOICES.match(word)
    if found:
        return f"{found[1]}={chosen[found[1]]}"
    for name, value in chosen.items():
        word = word.replace(f"{{{name}}}", value)
    return word


class _Labels:
    """The labels of a sweep, and of the finished runs below its directory.

    Attributes:
        places: work directory of each label in the lines so far.
    """

    def __init__(self, runs: Iterable[Run], directory: str | os.PathLike):
        self.places: dict[str, pathlib.Path] = {}
        self._all = {run.label for run in runs}
        self._directory = directory

    @functools.cached_property
    def _finished(self) -> dict[str, list[pathlib.Path]]:
        """Work directories of the finished runs with other labels."""
        found = results.labeled(self._directory)
        return {n: places for n, places in found.items() if n not in self._all}

    def find(self, label: str) -> pathlib.Path:
        """Return the work directory of a label.

        Raises:
            config.ConfigError: if there is not exactly one.
        """
        if label in self.places:
            return self.places[label]
        found = self._finished.get(label, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise config.ConfigError(
                f"@{label} must name one run; give its directory instead. "
                f"Received: a label of {', '.join(map(str, found))}"
            )
        known = ", ".join(sorted({*self.places, *self._finished})) or "none"
        raise config.ConfigError(
            f"@{label} names no earlier line of the sweep, and no finished run "
            f"below {str(self._directory)!r}; the labels are: {known}. "
            f"Received: @{label}"
        )
