"""Damage the files of runs, then run the commands that read them.

    python tests/support/fuzz.py --cases 300 --seed 1

Every command must end with exit code 0, 2 or 130 and say at most one line on
stderr; it must change no file that is not its own, and a run beside the damaged
one not at all.
"""

import argparse
import collections
import collections.abc
import contextlib
import dataclasses
import hashlib
import io
import os
import pathlib
import random
import re
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback

import damage

from rigl_tf import cli

_SECONDS = 60  # what waits longer waits forever
_WORDS = [
    "tasks/digits_mlp",
    "methods/rigl",
    "SPARSITY=0.8",
    "TRAIN_STEPS=12",
    "UPDATE_END_STEP=10",
    "UPDATE_INTERVAL=2",
    "LOG_INTERVAL=4",
    "CHECKPOINT_INTERVAL=3",
    "KEEP_CHECKPOINTS=3",
    "RECORD_MASKS=True",
    "PREDICTIONS=True",
]
# How often each kind of file is damaged, and the commands that read it in a
# finished and in an interrupted run.
_KINDS = {
    "checkpoints": (5, "evaluate start rewind", "evaluate train train rewind"),
    "metrics.jsonl": (4, "", "summary train train"),
    "masks": (3, "connectivity", "train"),
    "result.json": (4, "summary report compare connectivity train ticket", ""),
    "masks.npz": (3, "masks start count", ""),
    "model.keras": (1, "sample", ""),
    "predictions.npz": (1, "compare", ""),
    "connectivity.json": (1, "report", ""),
    "config.gin": (1, "evaluate train", "summary train"),
}
_STARTS = {
    "start": ["INITIAL_RUN={run}"],
    "masks": ["INITIAL_MASKS={run}"],
    "rewind": ["INITIAL_RUN={run}", "INITIAL_STEP=9", "methods/static"],
    "ticket": [
        "INITIAL_RUN={run}",
        "INITIAL_STEP=0",
        "INITIAL_MASKS={run}",
    ],
}
_STEP = r"\d{8}\.npz"
# What commands that succeed may write, below the directory of all runs.
_OWN = {
    "train": r"run/(metrics\.jsonl|result\.json|model\.keras|masks|masks\.npz"
    r"|model\.safetensors|predictions\.npz"
    rf"|(masks|checkpoints)/(\.tmp-)?{_STEP})",
    "connectivity": r"run/connectivity\.(json|png|gif)",
    **dict.fromkeys(_STARTS, "new(/.*)?"),
}


class _TooLong(BaseException):
    """A command waits for something that will not come."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One command line, and what it may change.

    Attributes:
        about: what was done before, for the reader.
        words: the command line.
        check: function `(exit code) -> list of problems`, after the command.
    """

    about: str
    words: list[str]
    check: collections.abc.Callable = lambda code: []


def drive(make, n_cases, seed, only=None):
    """Make cases and run them; print what is wrong.

    Args:
        make: function `(random.Random) -> Case`.
        n_cases: how many; each has its own generator, of seed and number.
        seed: integer.
        only: number of the one case to run, or None for all.

    Returns:
        dictionary from exit code to the number of commands that ended so, and
        from "bad" to the number of cases with a problem.
    """
    counts = collections.Counter()
    for number in range(n_cases) if only is None else [only]:
        case = make(random.Random(f"{seed} {number}"))
        code, found = problems(case)
        counts[code] += 1
        if found:
            counts["bad"] += 1
            print(f"[{number}] {case.about}", *found, sep="\n    ", flush=True)
    return dict(counts)


def problems(case):
    """Run the command of a case in this process.

    Returns:
        `(exit code, list of what is wrong)`; the code is None if it raised.
    """
    code, error, raised = run(case.words)
    if raised is not None:
        return code, [raised]
    found = []
    lines = [line for line in error.splitlines() if not _is_log(line)]
    if code not in (0, 2, 130):
        found.append(f"exit code {code}")
    if len(lines) > (code != 0) or (code and not lines):
        found.append(f"{len(lines)} lines on stderr")
    found += [f"stderr: {x}" for x in lines if not x.startswith("rigl_tf: ")]
    return code, found + case.check(code)


def run(words):
    """Run a command in this process.

    Returns:
        `(exit code, what it wrote to stderr, traceback or None)`.
    """

    def give_up(*_):
        raise _TooLong

    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_SECONDS)
    code, raised = None, None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(words)
    except SystemExit as end:  # of argparse
        code = end.code
    except BaseException:
        raised = traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    err.flush()
    return code, err.buffer.getvalue().decode(), raised


def _is_log(line):
    """Say whether a line is a warning of absl's or TensorFlow's logging."""
    return re.match(r"WARNING:(absl|tensorflow):|[IW]\d{4} ", line)


def digests(directory):
    """Map everything below a directory to what it holds."""
    found = {}
    for root, directories, names in os.walk(directory):
        for name in directories + names:
            path = pathlib.Path(root) / name
            mode = path.lstat().st_mode
            held = str(stat.S_IFMT(mode))
            if stat.S_ISREG(mode):
                held = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(directory))] = held
    return found


def changed(before, after):
    """List the names that differ between two results of `digests`."""
    names = sorted(before.keys() | after.keys())
    return [name for name in names if before.get(name) != after.get(name)]


class Runs:
    """A finished run, the same interrupted, and a run of another network.

    Args:
        root: empty directory.
    """

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self._words = ["train", *_WORDS, "models.mlp.hidden=(8,)"]
        self._finished = self._made("finished", self._words)
        other = ["train", *_WORDS, "models.mlp.hidden=(6,)", "SEED=1"]
        self._neighbor = self._made("neighbor", other, drawn=False)
        self._interrupted = self.root / "interrupted"
        shutil.copytree(self._finished, self._interrupted)
        for pattern in ("*.json", "*.keras", "*.npz", "*.png", "*/*12.npz"):
            for path in self._interrupted.glob(pattern):
                path.unlink()
        metrics = self._interrupted / "metrics.jsonl"
        lines = metrics.read_bytes().splitlines(keepends=True)
        metrics.write_bytes(b"".join(lines[:2]) + lines[2][:20])

    def _made(self, name, words, drawn=True):
        workdir = f"--workdir={self.root / name}"
        for line in (words, ["connectivity"] if drawn else ["summary"]):
            code, error, raised = run([*line, workdir])
            if code != 0:
                raise RuntimeError(raised or error)
        return self.root / name

    def case(self, rng):
        """Damage a copy of a run; return a `Case` with a command for it."""
        root = self.root / "case"
        shutil.rmtree(root, ignore_errors=True)
        done = rng.random() < 0.6
        source = self._finished if done else self._interrupted
        shutil.copytree(source, root / "run")
        shutil.copytree(self._neighbor, root / "neighbor")
        abouts, readers = [], []
        before = digests(root)
        for _ in range(rng.choice([1, 1, 2, 3])):
            kind, about = self._damage(rng, root / "run", done, before)
            abouts.append(about)
            readers += _KINDS[kind][1 if done else 2].split()
        command = rng.choice(readers)
        before = digests(root)

        def check(code):
            own = "run/.lock" if code else f"run/.lock|{_OWN.get(command)}"
            found = [
                f"changed: {name}"
                for name in changed(before, digests(root))
                if not re.fullmatch(own, name)
            ]
            if not done and command == "train" and not code:
                found += self._differing(root / "run")
            return found

        about = f"{source.name}, {', '.join(abouts)}; {command}"
        return Case(about, self._line(command, root), check)

    def _damage(self, rng, workdir, done, before):
        """Do something to a sound file; return its kind, and what was done."""
        found, now = {}, digests(workdir.parent)
        for path in sorted(workdir.rglob("*")):
            kind = path.relative_to(workdir).parts[0]
            name = str(path.relative_to(workdir.parent))
            if before.get(name) != now[name]:
                continue
            if path.is_file() and _KINDS.get(kind, ("", "", ""))[2 - done]:
                found.setdefault(kind, []).append(path)
        kind = rng.choices(list(found), [_KINDS[k][0] for k in found])[0]
        path = rng.choice(found[kind])
        way = rng.random()
        if way < 0.7:
            what = damage.of_content(rng, path)
        elif way < 0.8:
            what = damage.in_place(rng, path)
        elif way < 0.9:
            others = (workdir.parent / "neighbor").rglob("*")
            others = [p for p in [*others, *sum(found.values(), [])]]
            others = sorted(p for p in others if p.is_file())
            what = f"swap with {damage.swap(rng, path, others)}"
        else:
            path = damage.stray(rng, path.parent)
            what = "stray"
        return kind, f"{path.relative_to(workdir)!s}: {what}"

    def _line(self, command, root):
        workdir = root / "run"
        if command == "report":
            return ["report", str(root)]
        if command == "compare":
            return ["compare", str(workdir), str(root / "neighbor")]
        if command in ("train", "count", *_STARTS):
            starts = _STARTS.get("masks" if command == "count" else command, [])
            words = [word.format(run=workdir) for word in starts]
            new = root / ("new" if command in _STARTS else "run")
            if starts:  # nothing is read from the run after this
                words += ["TRAIN_STEPS=2", "UPDATE_END_STEP=1"]
            if command == "count":
                return ["count", *self._words[1:], *words]
            return [*self._words, *words, f"--workdir={new}"]
        return [command, f"--workdir={workdir}"]

    def _differing(self, workdir):
        """Compare what a resumed run has come to with the undamaged one."""
        now = digests(workdir)
        return [
            f"{name} is not that of the undamaged run"
            for name in changed(digests(self._finished), now)
            if name in ("masks.npz", "model.safetensors")
        ]


def main():
    """Run as many cases as asked for; return 1 if one has a problem."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", type=int, help="number of a case")
    arguments = parser.parse_args()
    seed = arguments.seed
    seed = random.randrange(10**6) if seed is None else seed
    print(f"seed {seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        counts = drive(
            Runs(directory).case, arguments.cases, seed, arguments.only
        )
    print(f"{counts}, {time.monotonic() - began:.0f} s")
    return int("bad" in counts)


if __name__ == "__main__":
    sys.exit(main())
