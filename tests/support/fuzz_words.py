"""Mutated command lines and configuration files, to be refused or obeyed.

    python tests/support/fuzz_words.py --cases=300 --files=100 --seed=7

Each case runs in this process, in a directory of its own. It fails if an
exception comes out, if the exit code is none of 0, 2 and 130, if a refusal
takes more than one line, or if a file outside of its directory has changed.
"""

import argparse
import contextlib
import dataclasses
import io
import os
import pathlib
import random
import sys
import tempfile
import traceback

from rigl_tf import cli
from rigl_tf.experiments import config

_SHORT = [
    "TRAIN_STEPS=4",
    "UPDATE_END_STEP=2",
    "UPDATE_INTERVAL=2",
    "PRUNE_BEGIN_STEP=0",
    "PRUNE_END_STEP=2",
    "PRUNE_INTERVAL=1",
]
_TASK = "tasks/digits_mlp"
_METHODS = [
    "methods/rigl",
    "methods/static",
    "methods/pruning",
    "methods/dense",
    "methods/srigl",
    "methods/small_dense",
]
# Where runs may go, and which there are: "run" is a finished one.
_WORKDIRS = ["new", "run", "gone", ".", "", "a\0b", "x" * 300, "foo://x"]
_VALUES = """
0 1 -1 0.5 1.0 -0.0 1e-300 1e300 -1e300 1e999 nan inf None True False () [] {}
9007199254740992 9223372036854775808 18446744073709551616 -9223372036854775808
'' "" ' '' " ''' [ ] ( ) [[ ]] {1 {1,2} {[]:1} [1,2 (1,) [None] {'a':1} {1:{}}
{'fc1/kernel':0.5} {'.*':0.5} ['fc1'] ['.*'] ['('] [1] [[1]] ... 1j b'x' 0x10
@ @x @x() @models.mlp @models.mlp() @keras.optimizers.SGD @datasets.digits()
@updaters.RigL() @updaters.RigL @os.system @os.system() @gin.singleton()
@gin.macro() @keras.layers.Lambda() @rigl_tf.files.os.system() @a/models.mlp
% %SEED %NOWHERE %% %a.b %gin.REQUIRED = == a=b ; # \\ \t é ☃ 𝒳 \ud800 \x00
uniform erdos_renyi dsr_resnet50 2:4 0:0 4:2 block_4x1 block_0x0 block_9x9
channel constant_fan_in small_dense big_sparse unit_scaled cpu float64
mixed_float16 float16 run new /dev/null /etc/passwd /dev/zero . .. ~ ~nobody
foo://x http://x yes,no 1,2 1,, ,, 1_000 +1 - -- --1 1e 1.2.3 0,0
""".split()
_FILES = ["/dev/null", "/etc/hostname", ".", "run", "run/model.keras"]
_FLAGS = """
--workdir --workdir= --workdir=new --jobs=0 --jobs=-1 --jobs=x --dry_run --json
--rule=published --rule= --step=0 --step=-1 --step=x --model=run/model.keras
--model=/dev/null --model= --input_shape=8,8,1 --input_shape=0 --input_shape=,
--import=os --import= --import=. --import=no.such --import=rigl_tf.files
--format=csv --format=x --published=resnet50 --published=x --length=3
--temperature=nan --temperature=-1 --seed=-1 --prompt= --worker=0 --workers=x
--workers=a:1,b:2 --data_dir=new --nowhere --help -h -x - -- --= --per_class
--batch_statistics --version
""".split()


@dataclasses.dataclass(frozen=True)
class Case:
    """A command line, and the files that it finds.

    Attributes:
        words: the words.
        files: contents by name.
    """

    words: tuple[str, ...]
    files: dict


def mutated_command_lines(seed, n):
    """Yield `n` cases that differ from sound command lines in a few words."""
    rng = random.Random(seed)
    macros = sorted(_macros())
    for _ in range(n):
        words = _sound_words(rng)
        for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
            words = _mutated(rng, words, macros)
        yield Case(tuple(words), {})


def mutated_gin_files(seed, n):
    """Yield `n` cases whose configuration file is damaged."""
    rng = random.Random(seed)
    root = config.directory()
    sources = [root / "base.gin", *sorted(root.glob("*/*.gin"))]
    for _ in range(n):
        text = rng.choice(sources).read_bytes()
        for _ in range(rng.choice([1, 1, 2, 4])):
            text = _damaged(rng, text)
        words = [rng.choice(["train", "count"]), _TASK, "methods/rigl"]
        words += ["SPARSITY=0.9", "mine.gin", *_SHORT]
        if words[0] == "train":
            words.append("--workdir=new")
        # Beside them a file that includes the other.
        circle = b"include 'mine.gin'\n"
        yield Case(tuple(words), {"mine.gin": text, "circle.gin": circle})


def run(case, directory):
    """Run a case in a directory; return what is wrong, or None.

    Args:
        case: `Case`.
        directory: existing directory, to which the process changes.
    """
    for name, content in case.files.items():
        (directory / name).write_bytes(content)
    out, err = io.StringIO(), io.StringIO()
    before = os.getcwd()
    os.chdir(directory)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main(list(case.words))
    except SystemExit as end:  # --help
        code = end.code
    except BaseException:
        return traceback.format_exc()
    finally:
        os.chdir(before)
    lines = err.getvalue().splitlines()
    if code not in (0, 2, 130):
        return f"exit code {code}"
    if code == 2 and len(lines) != 1:
        return f"{len(lines)} lines:\n{err.getvalue()[:2000]}"
    return None


def _macros():
    settings = config.read([_TASK, "methods/dense", "SPARSITY=0"])
    return {
        statement.selector
        for part in settings.parts
        for statement in part.bindings
        if not statement.arg_name
    }


def _sound_words(rng):
    """Return the words of a command that would take seconds at most."""
    method = rng.choice(_METHODS)
    sparsity = "SPARSITY=0" if method == "methods/dense" else "SPARSITY=0.9"
    words = [_TASK, method, sparsity, *_SHORT]
    kind = rng.randrange(10)
    if kind <= 3:
        return ["train", *words, "--workdir=new"]
    if kind <= 6:
        return ["count", *words]
    return rng.choice(
        [
            ["count", "--model=run/model.keras"],
            ["evaluate", "--workdir=run"],
            ["report", "."],
            ["summary", "--workdir=run"],
            ["connectivity", "--workdir=run"],
            ["sample", "--workdir=run"],
            ["table", "erk"],
            ["methods", "rigl"],
            ["prepare", "mnist:9.9.9"],
            ["sweep", "sweeps/digits_mlp", "--workdir=new", "--dry_run"],
        ]
    )


def _mutated(rng, words, macros):
    """Return words after one change. The command is seldom changed."""
    words = list(words)
    place = rng.randrange(len(words)) if words else 0
    if place == 0 and rng.random() < 0.8:
        place = len(words)
    value = _value(rng)
    takes_settings = {"train", "count", "evaluate", "sweep"} & {*words}
    kind = rng.randrange(14) if takes_settings else rng.randrange(3, 8)
    if kind <= 2 or kind > 10:
        words.append(f"{rng.choice(macros)}={value}")
    elif kind == 3:
        words.append(rng.choice(_FLAGS))
    elif kind == 4 and place < len(words):
        name, sign, _ = words[place].partition("=")
        words[place] = f"{name}{sign}{value}"
    elif kind == 5 and place < len(words):
        del words[place]
    elif kind == 6 and place < len(words):
        other = rng.randrange(len(words))
        words[place], words[other] = words[other], words[place]
    elif kind == 7:
        words.insert(place, rng.choice([*_FILES, value]))
    else:
        parameter = rng.choice(
            [
                "experiment.Experiment.model",
                "experiment.Experiment.updater",
                "experiment.Experiment.metrics",
                "experiment.Experiment.task",
                "updaters.RigL.update_steps",
                "updaters.RigL.redistribution",
                "updaters.RigL.seed",
                "keras.optimizers.SGD.momentum",
                "keras.optimizers.SGD.nesterov",
                "keras.optimizers.schedules.CosineDecay.decay_steps",
                "keras.optimizers.schedules.CosineDecay.alpha",
                "models.mlp.width",
                "strategies.cpu.devices",
                "a/b.c",
                "a.b",
                ".",
            ]
        )
        words.append(f"{parameter}={value}")
    # Nothing that would take hours.
    if "sweep" in words and "--dry_run" not in words:
        words.append("--dry_run")
    return words


def _value(rng):
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice(_WORKDIRS)
    if kind == 1:
        return rng.choice("[({'9-@%a") * rng.choice([2, 200, 5000])
    if kind == 2:
        return str(rng.choice([-1, 1]) * 10 ** rng.randrange(40))
    return rng.choice(_VALUES)


def _damaged(rng, text):
    """Return the bytes of a gin file after one kind of damage."""
    lines = text.split(b"\n")
    place = rng.randrange(len(lines))
    kind = rng.randrange(8)
    if kind == 0:
        return text[: rng.randrange(len(text) + 1)]
    if kind == 1 and text:
        data = bytearray(text)
        data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if kind == 2:
        lines[place] = b" " * rng.randrange(5) + lines[place].strip()
    elif kind == 3:
        del lines[place]
    elif kind == 4:
        lines.insert(rng.randrange(len(lines)), lines[place])
    elif kind == 5 and b"=" in lines[place]:
        name = lines[place].split(b"=")[0]
        value = _value(rng).encode("utf-8", "replace")
        lines[place] = name + b"= " + value
    else:
        lines.insert(place, rng.choice(_STATEMENTS))
    return b"\n".join(lines)


_STATEMENTS = [
    line.encode()
    for line in """
import os
import os as keras
from os import path
import rigl_tf.files as files
import keras.src.utils.file_utils as utils
import no_such_module
from __gin__ import dynamic_registration
from __gin__ import other
from __gin__ import dynamic_registration as d
include 'none.gin'
include 'mine.gin'
include 'circle.gin'
include 'tasks/digits_mlp'
include '/dev/null'
include 3
SEED = %SEED
L2 = %SEED
SEED = %L2
LOOP = @starts.Start()
starts.Start.run = @starts.Start()
a/starts.Start.run = @a/starts.Start()
starts.Start.run = @a/starts.Start()
updaters.RigL.seed = @updaters.RigL()
updaters.RigL.seed = @gin.singleton()
L2 = @keras.utils.get_file()
L2 = @hardware.os.system()
experiment.Experiment.l2 = %gin.REQUIRED
experiment.Experiment.l2 = %nowhere
experiment.Experiment:
  l2 = 0.1
    seed = 1
X = (((((
X = '''
X = "
lower = %LOWER
:
=
""".strip().splitlines()
]


def contents(directory):
    """Return the bytes of all files below a directory."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def make_run(directory):
    """Train the finished run that cases find; return its files."""
    words = [_TASK, "methods/rigl", "SPARSITY=0.9", *_SHORT]
    with contextlib.redirect_stdout(io.StringIO()):
        assert not cli.main(["train", *words, f"--workdir={directory}"])
    return contents(directory)


def failures(cases, directory, report=print):
    """Run cases; return the number of those that fail.

    Args:
        cases: iterable of `Case`.
        directory: empty directory.
        report: function that is called with a text for each failure.
    """
    neighbor = directory / "neighbor"
    sound = make_run(neighbor)
    n_failed = 0
    for number, case in enumerate(cases):
        place = directory / f"case{number}"
        place.mkdir()
        _lay_out(sound, place / "run")
        wrong = run(case, place)
        if contents(neighbor) != sound:
            wrong = f"{wrong or ''}\nA neighbor has changed"
        names = {path.name for path in directory.iterdir()}
        if names != {"neighbor", *(f"case{i}" for i in range(number + 1))}:
            wrong = f"{wrong or ''}\nOther files were written: {names}"
        if wrong:
            n_failed += 1
            report(f"case {number}: {case.words!r}\n{case.files}\n{wrong}\n")
    return n_failed


def _lay_out(sound, place):
    for name, content in sound.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)


def main():
    """Run the cases of a seed; return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300, help="of words")
    parser.add_argument("--files", type=int, default=100, help="of gin files")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed
    if seed is None:
        seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}", flush=True)
    n_failed = 0
    for make, n in (
        (mutated_command_lines, arguments.cases),
        (mutated_gin_files, arguments.files),
    ):
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory).resolve()
            n_failed += failures(make(seed, n), directory)
    print(f"{n_failed} of {arguments.cases + arguments.files} cases failed")
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())
