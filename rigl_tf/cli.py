"""The command `rigl_tf`: flags -> one library call.

Exit codes: 0 done, 1 our bug, 2 the user's mistake (one line on stderr), 130
interrupted.
"""

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import sys
import tempfile

import rigl_tf
from rigl_tf import config
from rigl_tf import results
from rigl_tf import workdirs

_MISTAKES = (ValueError, TypeError, OSError, ImportError)


def main(argv=None):
    """Run one command; return its exit code.

    Args:
        argv: words of the command line; None for those of the process.
    """
    try:
        arguments = _parse(argv)
        return arguments.run(arguments)
    except _UserMistake as mistake:
        print(f"rigl_tf: {mistake}", file=sys.stderr)
        return 2
    except _Interrupted as interrupted:
        print(f"rigl_tf: {interrupted}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print("rigl_tf: interrupted", file=sys.stderr)
        return 130


class _UserMistake(Exception):
    """Something that the user can cure."""


class _Interrupted(Exception):
    """A run that was stopped and can go on."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise _UserMistake(f"{message} (see `{self.prog} --help`)")


def _parse(argv):
    """Parse, with words and flags in any order."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    flags = [word for word in rest if word.startswith("-")]
    if flags or (rest and not hasattr(arguments, "words")):
        parser.error(f"unrecognized arguments: {' '.join(flags or rest)}")
    if rest:
        arguments.words += rest
    return arguments


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
    _add_words(train)
    train.add_argument(
        "--workdir",
        help="where results go; default runs/<files>-<hash of words>",
    )
    train.set_defaults(run=_train)

    count = commands.add_parser(
        "count", help="count parameters and sparsities; trains nothing"
    )
    _add_words(count)
    count.add_argument("--json", action="store_true", help="print JSON")
    count.set_defaults(run=_count)

    sweep = commands.add_parser("sweep", help="train every line of a file")
    sweep.add_argument("name", help="file of words, e.g. sweeps/digits_mlp")
    sweep.add_argument("--workdir", required=True, help="parent of the runs")
    sweep.add_argument(
        "--dry_run", action="store_true", help="print the runs, train nothing"
    )
    _add_import(sweep)
    sweep.set_defaults(run=_sweep)

    report = commands.add_parser("report", help="tabulate finished runs")
    report.add_argument("directory", help="directory above the runs")
    report.set_defaults(run=_report)

    for name, run, text in (
        ("evaluate", _evaluate, "evaluate the newest checkpoint of a run"),
        ("summary", _summary, "show what a run has come to"),
        (
            "connectivity",
            _connectivity,
            "draw the input layer's connections per pixel over training",
        ),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--workdir", required=True, help="its directory")
        command.set_defaults(run=run)
    return parser


def _add_words(parser):
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="configuration files and settings, e.g. tasks/digits_mlp "
        "methods/rigl SPARSITY=0.98",
    )
    _add_import(parser)


def _add_import(parser):
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="module of your own models, data sets or methods",
    )


def _train(arguments):
    words = arguments.words
    with _mistakes():
        settings = config.read(words, arguments.imports)
    workdir = arguments.workdir or pathlib.Path("runs") / _run_name(words)
    _run(settings, pathlib.Path(workdir))
    return 0


def _sweep(arguments):
    with _mistakes():
        lines = config.read_sweep(arguments.name)
        runs = [
            (words, config.read(words, arguments.imports)) for words in lines
        ]
    for number, (words, settings) in enumerate(runs, start=1):
        workdir = pathlib.Path(arguments.workdir) / _run_name(words)
        print(f"[{number}/{len(runs)}] {' '.join(words)}")
        if not arguments.dry_run:
            _run(settings, workdir)
    return 0


def _report(arguments):
    with _mistakes():
        rows = results.rows(arguments.directory)
    print(results.markdown(rows))
    return 0


def _count(arguments):
    with _mistakes():
        settings = config.read(arguments.words, arguments.imports)
        counts = _experiment(settings).count()
    if arguments.json:
        print(json.dumps(counts, indent=1))
    else:
        results.print_layers(counts["layers"])
        print(
            f"\nparameters {counts['parameters']:,}, "
            f"active {counts['active_parameters']:,}"
        )
    return 0


def _evaluate(arguments):
    with _mistakes():
        written = pathlib.Path(arguments.workdir) / "config.gin"
        if not written.exists():
            raise FileNotFoundError(
                "`--workdir` must be the directory of a run. Received: "
                f"{arguments.workdir!r}, which has no config.gin"
            )
        experiment = _experiment(config.read([str(written)]))
        print(json.dumps(experiment.evaluate(arguments.workdir)))
    return 0


def _summary(arguments):
    with _mistakes():
        results.print_summary(arguments.workdir)
    return 0


def _connectivity(arguments):
    with _mistakes():
        from rigl_tf import connectivity

        for line in connectivity.draw(arguments.workdir):
            print(line)
    return 0


def _experiment(settings):
    """Import TensorFlow, parse, and build the `Experiment`."""
    with _quiet_start():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looks for GPUs, aloud
        return config.parse(settings)()


def _run(settings, workdir):
    """Train what the settings say; a finished run is only announced."""
    with _mistakes():
        experiment = _experiment(settings)
        text = config.resolved()
        workdirs.require_own(workdir, text)
        if (workdir / "result.json").exists():
            print(f"{workdir} holds this run, finished: nothing to do")
            return
        built = experiment.build()
        claim = workdirs.claim(workdir, text)
    with _failures(), claim, _stop_requests() as should_stop:
        result = experiment.train_and_evaluate(workdir, built, should_stop)
    results.print_closing_table(result, workdir)


@contextlib.contextmanager
def _stop_requests():
    """Turn the first SIGTERM or SIGINT into a request to stop."""
    received = []

    def request(signum, frame):
        del frame
        if received:
            raise KeyboardInterrupt
        received.append(signum)

    signals = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, request) for number in signals]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)


@contextlib.contextmanager
def _failures():
    """Turn what can go wrong in training, with the user's help, into a line."""
    from rigl_tf import checkpoints
    from rigl_tf import experiment

    try:
        yield
    except experiment.Interrupted as interrupted:
        raise _Interrupted(str(interrupted)) from interrupted
    except (
        checkpoints.CheckpointError,
        workdirs.WorkdirError,
        FloatingPointError,
        OSError,
    ) as error:
        raise _UserMistake(config.one_line(error)) from error


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


def _run_name(words):
    """Name a run after its files, with a hash of all its words."""
    names = [pathlib.PurePath(w).stem for w in words if config.names_file(w)]
    digest = hashlib.sha256(" ".join(words).encode()).hexdigest()[:8]
    return "-".join([*names, digest])
