"""Sweep files: one run per line, as words of a command line.

Lines that are empty or begin with # are skipped. `SEED={0,1,2}` stands for
three runs, in each of which `{SEED}` stands for the number. A line may begin
with a label, `pruned-{SEED}:`; from then on INITIAL_RUN=@pruned-0, or
INITIAL_MASKS, names the work directory of that run. So do later sweeps that put
their runs below the same directory, once the run is finished.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import pathlib
import re

from rigl_tf import files
from rigl_tf.experiments import config
from rigl_tf.experiments import published_accuracies
from rigl_tf.experiments import results

# Not a dictionary, which begins with a quotation mark.
_CHOICES = re.compile(r"^([A-Za-z_][\w.]*)=\{([^{}'\"][^{}]*,[^{}]*)\}$")
_LABEL = re.compile(r"^(INITIAL_[A-Z]+)=@([\w.-]+)$")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        words: its words; "@label" for the work directory of another run.
        label: what others call it, or "".
    """

    words: tuple[str, ...]
    label: str = ""


def read(name, words=()):
    """Read a sweep file.

    A line whose label is a published row's gets PUBLISHED, so that reports can
    put ours beside it.

    Args:
        name: path, or name of a shipped file such as "sweeps/digits_mlp".
        words: more words for every run.

    Returns:
        list of `Run`.

    Raises:
        config.ConfigError: there is no such file, no run in it, or a label
            that two lines have.
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
                f"A label names one run of a sweep. Received: {label!r} twice"
            )
    return runs


def run_name(words):
    """Name a run after its files, with a hash of all its words."""
    names = [pathlib.PurePath(w).stem for w in words if config.names_file(w)]
    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]
    return "-".join([*names, digest])


def resolve(runs, directory):
    """Return the words and the work directory of each run.

    Args:
        runs: list of `Run`.
        directory: parent of the work directories.

    Returns:
        list of `(words, work directory)`, labels replaced.

    Raises:
        config.ConfigError: a label that neither an earlier line has, nor
            exactly one finished run below the directory.
        ValueError: two runs have the same words.
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
            # No part of the name: the run is the same with another label.
            words.append(f"LABEL={run.label!r}")
            labels.places[run.label] = workdir.resolve()
        if str(workdir) in resolved:
            raise ValueError(
                "The runs of a sweep must differ. Received twice: "
                f"{' '.join(run.words)}"
            )
        resolved[str(workdir)] = words, workdir
    return list(resolved.values())


def _expand(words):
    """List the runs that a line stands for."""
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


def _mark(run, sweep):
    """Say which published row a run reproduces, if it does one."""
    row = f"{sweep}/{run.label}"
    if row not in published_accuracies.by_run():
        return run
    return Run((*run.words, f"PUBLISHED={row}"), run.label)


def _fill(word, chosen):
    found = _CHOICES.match(word)
    if found:
        return f"{found[1]}={chosen[found[1]]}"
    for name, value in chosen.items():
        word = word.replace(f"{{{name}}}", value)
    return word


class _Labels:
    """Labels of a sweep, and of the finished runs below its directory.

    Attributes:
        places: label -> work directory, of the lines that were read so far.
    """

    def __init__(self, runs, directory):
        self.places = {}
        self._all = {run.label for run in runs}
        self._directory = directory

    @functools.cached_property
    def _finished(self):
        found = results.labeled(self._directory)
        return {n: places for n, places in found.items() if n not in self._all}

    def find(self, label):
        """Return the work directory of a label."""
        if label in self.places:
            return self.places[label]
        found = self._finished.get(label, ())
        if len(found) == 1:
            return found[0]
        if found:
            raise config.ConfigError(
                f"@{label} must name one run; say which one by its directory. "
                f"Received: a label of {', '.join(map(str, found))}"
            )
        known = ", ".join(sorted({*self.places, *self._finished})) or "none"
        raise config.ConfigError(
            f"@{label} names no earlier line of the sweep, and no finished run "
            f"below {str(self._directory)!r}; the labels are: {known}. "
            f"Received: @{label}"
        )
