"""The command `rigl_tf`: flags -> one library call.

Exit codes: 0 done, 1 our bug, 2 the user's mistake (one line on stderr), 130
interrupted.
"""

import argparse
import contextlib
import hashlib
import os
import pathlib
import sys
import tempfile

import rigl_tf
from rigl_tf import config
from rigl_tf import results

_MISTAKES = (ValueError, TypeError, OSError, ImportError)


def main(argv=None):
    """Run one command; return its exit code.

    Args:
        argv: words of the command line; None for those of the process.
    """
    try:
        arguments = _parser().parse_args(argv)
        return arguments.run(arguments)
    except _UserMistake as mistake:
        print(f"rigl_tf: {mistake}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("rigl_tf: interrupted", file=sys.stderr)
        return 130


class _UserMistake(Exception):
    """Something that the user can cure."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise _UserMistake(f"{message} (see `{self.prog} --help`)")


def _parser():
    parser = _Parser(
        prog="rigl_tf",
        description="Sparse training: RigL and its rivals in TensorFlow.",
    )
    parser.add_argument(
        "--version", action="version", version=f"rigl_tf {rigl_tf.__version__}"
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True
    )

    train = commands.add_parser("train", help="train and evaluate one model")
    train.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="configuration files and settings, e.g. tasks/digits_mlp "
        "methods/rigl SPARSITY=0.98",
    )
    train.add_argument(
        "--workdir",
        help="where results go; default runs/<task>-<method>-<hash of words>",
    )
    train.set_defaults(run=_train)

    sweep = commands.add_parser("sweep", help="train every line of a file")
    sweep.add_argument("name", help="file of words, e.g. sweeps/digits_mlp")
    sweep.add_argument("--workdir", required=True, help="parent of the runs")
    sweep.add_argument(
        "--dry_run", action="store_true", help="print the runs, train nothing"
    )
    sweep.set_defaults(run=_sweep)

    report = commands.add_parser("report", help="tabulate finished runs")
    report.add_argument("directory", help="directory above the runs")
    report.set_defaults(run=_report)

    connectivity = commands.add_parser(
        "connectivity",
        help="draw the input layer's connections per pixel over training",
    )
    connectivity.add_argument(
        "--workdir", required=True, help="run made with RECORD_MASKS=True"
    )
    connectivity.set_defaults(run=_connectivity)
    return parser


def _train(arguments):
    with _mistakes():
        settings = config.read(arguments.words)
    workdir = pathlib.Path(
        arguments.workdir or _default_workdir(arguments.words)
    )
    run_words(settings, workdir)
    return 0


def _sweep(arguments):
    with _mistakes():
        lines = config.read_sweep(arguments.name)
        runs = [(words, config.read(words)) for words in lines]
    for number, (words, settings) in enumerate(runs, start=1):
        workdir = pathlib.Path(arguments.workdir) / _run_name(words)
        print(f"[{number}/{len(runs)}] {' '.join(words)}")
        if not arguments.dry_run:
            run_words(settings, workdir)
    return 0


def _report(arguments):
    with _mistakes():
        rows = results.rows(arguments.directory)
    print(results.markdown(rows))
    return 0


def _connectivity(arguments):
    with _mistakes():
        from rigl_tf import connectivity

        for line in connectivity.draw(arguments.workdir):
            print(line)
    return 0


def run_words(settings, workdir):
    """Train what the settings say; a finished run is only announced."""
    if (workdir / "result.json").exists():
        print(f"{workdir} holds a finished run: nothing to do")
        return
    with _mistakes(), _quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for GPUs, aloud
        run = config.parse(settings)
    with _mistakes():
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "config.gin").write_text(config.resolved())
        result = run(workdir=str(workdir))
    results.print_closing_table(result, workdir)


@contextlib.contextmanager
def _mistakes():
    """Turn the errors that users can cure into one line."""
    try:
        yield
    except _MISTAKES as error:
        if os.environ.get("RIGL_TF_TRACEBACK"):
            raise
        raise _UserMistake(config.one_line(error)) from error


@contextlib.contextmanager
def _quiet_start():
    """Keep the start-up lines of TensorFlow's C++ off stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" in sys.modules:
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _default_workdir(words):
    return pathlib.Path("runs") / _run_name(words)


def _run_name(words):
    """Name a run after its files, with a hash of all its words."""
    names = [pathlib.PurePath(w).stem for w in words if "=" not in w]
    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]
    return "-".join([*names, digest])
