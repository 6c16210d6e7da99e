"""The command line: `rigl_tf COMMAND WORDS... --FLAGS`.

Exit codes: 0 done, 1 a bug of ours, 2 a mistake of the user (one line on
stderr), 75 another process is training in the work directory, 130 interrupted.
"""

import argparse
from collections.abc import Sequence
from typing import NoReturn
from typing import TypeAlias

import rigl_tf
from rigl_tf.experiments import command_words
from rigl_tf.experiments import commands
from rigl_tf.experiments import count_commands
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import export_commands
from rigl_tf.experiments import export_words
from rigl_tf.experiments import one_dnn
from rigl_tf.experiments import report_commands
from rigl_tf.experiments import report_words
from rigl_tf.experiments import session
from rigl_tf.experiments import standard_streams
from rigl_tf.experiments.analyze import command as analyze_command
from rigl_tf.experiments.analyze import words as analyze_words

_Subparsers: TypeAlias = "argparse._SubParsersAction[_Parser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    Args:
        argv: words of the command line; None for those of the process.
    """
    standard_streams.open_all()
    one_dnn.prefer()
    try:
        with standard_streams.unread(goes_on=False):
            arguments = _parse(argv)
        with exit_codes.mistakes():
            rigl_tf._require_tensorflow_backend()  # type: ignore[attr-defined]
            if "://" in str(vars(arguments)):
                session.load_file_systems()
        with standard_streams.unread(goes_on=arguments.run in _LONG):
            return arguments.run(arguments)
    except standard_streams.Unread:  # `rigl_tf table erk | head`
        return 0
    except exit_codes.UserMistake as mistake:
        standard_streams.tell(f"rigl_tf: {mistake}")
        return mistake.code
    except exit_codes.Interrupted as interrupted:
        standard_streams.tell(f"rigl_tf: {interrupted}")
        return 130
    except KeyboardInterrupt:
        standard_streams.tell("rigl_tf: interrupted")
        return 130


# These write files, so they finish even if the terminal is closed.
_LONG = (
    commands.train,
    commands.sweep,
    commands.prepare,
    export_commands.export,
    export_commands.benchmark_inference,
    analyze_command.analyze,
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise exit_codes.UserMistake(f"{message} (see `{self.prog} --help`)")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse, with words and flags in any order."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    flags = [word for word in rest if word.startswith("-")]
    if flags or (rest and not hasattr(arguments, "words")):
        parser.error(f"unrecognized arguments: {' '.join(flags or rest)}")
    if rest:
        arguments.words += rest
    return arguments


def _parser() -> _Parser:
    parser = _Parser(
        prog="rigl_tf",
        description="Sparse training: RigL and its rivals in TensorFlow.",
    )
    parser.add_argument(
        "--version", action="version", version=f"rigl_tf {rigl_tf.__version__}"
    )
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True
    )
    for add_command in _COMMANDS:
        add_command(subparsers)
    return parser


def _add_train(subparsers: _Subparsers) -> None:
    train = subparsers.add_parser("train", help="train and evaluate one model")
    command_words.add_words(train)
    train.add_argument(
        "--workdir",
        help="directory for the results; default runs/<files>-<hash of words>",
    )
    train.add_argument(
        "--workers",
        help="for hardware/multi_worker: host:port,host:port, the chief first",
    )
    train.add_argument(
        "--worker", type=int, help="index of this process in --workers, from 0"
    )
    train.set_defaults(run=commands.train)


def _add_evaluate(subparsers: _Subparsers) -> None:
    evaluate = subparsers.add_parser(
        "evaluate", help="evaluate the newest checkpoint of a run"
    )
    evaluate.add_argument(
        "words", nargs="*", metavar="WORD", help="e.g. hardware/gpu"
    )
    command_words.add_run(evaluate)
    evaluate.add_argument(
        "--step", type=int, help="step of the checkpoint; default the newest"
    )
    evaluate.add_argument(
        "--per_class",
        action="store_true",
        help="also print precision and recall of each class",
    )
    evaluate.add_argument(
        "--batch_statistics",
        action="store_true",
        help="normalize by the statistics of each batch",
    )
    command_words.add_import(evaluate)
    evaluate.set_defaults(run=commands.evaluate)


def _add_prepare(subparsers: _Subparsers) -> None:
    prepare = subparsers.add_parser(
        "prepare", help="download and prepare a data set, or check it"
    )
    prepare.add_argument(
        "name",
        help="name in tensorflow_datasets, e.g. cifar10; or wikitext103, "
        "wikitext2",
    )
    prepare.add_argument(
        "--data_dir",
        help="directory of the data; default TFDS_DATA_DIR or "
        "~/tensorflow_datasets, for texts RIGL_TF_TEXT_DIR",
    )
    prepare.set_defaults(run=commands.prepare)


def _add_count(subparsers: _Subparsers) -> None:
    count = subparsers.add_parser(
        "count",
        help="count operations, parameters and bytes; trains nothing",
    )
    command_words.add_words(count)
    count.add_argument("--model", help="count a .keras file instead of words")
    count.add_argument(
        "--input_shape",
        help="shape of an example, if the file does not define it: 224,224,3",
    )
    count.add_argument(
        "--rule",
        default="exact",
        help="exact (default) or published, as the paper's tables count",
    )
    count.add_argument("--json", action="store_true", help="print JSON")
    count.set_defaults(run=count_commands.count)


def _add_table(subparsers: _Subparsers) -> None:
    table = subparsers.add_parser(
        "table", help="count a table of the paper, beside the published numbers"
    )
    table.add_argument(
        "name", nargs="?", help="its name, e.g. resnet50; list all without it"
    )
    table.set_defaults(run=count_commands.table)


def _add_sample(subparsers: _Subparsers) -> None:
    sample = subparsers.add_parser(
        "sample", help="generate text with the language model of a run"
    )
    command_words.add_run(sample)
    sample.add_argument(
        "--prompt", default="\n", help="text to continue; default a line end"
    )
    sample.add_argument(
        "--length", type=int, default=500, help="bytes to write; default 500"
    )
    sample.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        help="divides the logits; 0 takes the most likely byte",
    )
    sample.add_argument(
        "--seed", type=int, default=0, help="seed of the random draws"
    )
    sample.set_defaults(run=commands.sample)


def _add_sweep(subparsers: _Subparsers) -> None:
    sweep = subparsers.add_parser("sweep", help="train every line of a file")
    sweep.add_argument("name", help="file of words, e.g. sweeps/digits_mlp")
    sweep.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="additional words for every run",
    )
    sweep.add_argument(
        "--workdir", required=True, help="directory above the runs"
    )
    sweep.add_argument(
        "--dry_run", action="store_true", help="print the runs, train nothing"
    )
    sweep.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="number of runs at a time, each in its own process",
    )
    sweep.add_argument(
        "--shard",
        metavar="I/N",
        default="0/1",
        help="train part I of N, every N-th run; I from 0 to N - 1",
    )
    command_words.add_import(sweep)
    sweep.set_defaults(run=commands.sweep)


def _add_methods(subparsers: _Subparsers) -> None:
    methods = subparsers.add_parser(
        "methods", help="list the methods, or show the card of one"
    )
    methods.add_argument("name", nargs="?", help="show its card, e.g. rigl")
    methods.set_defaults(run=count_commands.methods)


def _add_summary(subparsers: _Subparsers) -> None:
    summary = subparsers.add_parser(
        "summary", help="show the results or the progress of a run"
    )
    command_words.add_run(summary)
    summary.set_defaults(run=report_commands.summary)


def _add_connectivity(subparsers: _Subparsers) -> None:
    connectivity = subparsers.add_parser(
        "connectivity",
        help="draw the input layer's connections per pixel over training",
    )
    command_words.add_run(connectivity)
    connectivity.set_defaults(run=report_commands.connectivity)


def _add_doctor(subparsers: _Subparsers) -> None:
    doctor = subparsers.add_parser(
        "doctor", help="show how truly sparse layers are computed here"
    )
    doctor.set_defaults(run=count_commands.doctor)


# In the order in which `--help` lists them.
_COMMANDS = (
    _add_train,
    _add_evaluate,
    _add_prepare,
    _add_count,
    _add_table,
    _add_sample,
    _add_sweep,
    report_words.add_report,
    report_words.add_compare,
    _add_methods,
    _add_summary,
    _add_connectivity,
    analyze_words.add_analyze,
    export_words.add_export,
    export_words.add_inspect,
    export_words.add_benchmark_inference,
    _add_doctor,
)
