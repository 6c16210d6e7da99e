"""The command `rigl_tf`: words and flags of the command line.

Exit codes: 0 done, 1 our bug, 2 the user's mistake (one line on stderr), 75
another process is training in the work directory, 130 interrupted.
"""

import argparse

import rigl_tf
from rigl_tf.experiments import commands
from rigl_tf.experiments import count_commands
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import report_commands
from rigl_tf.experiments import session
from rigl_tf.experiments import standard_streams


def main(argv=None):
    """Run one command; return its exit code.

    Args:
        argv: words of the command line; None for those of the process.
    """
    standard_streams.open_all()
    try:
        with standard_streams.unread(goes_on=False):
            arguments = _parse(argv)
        with exit_codes.mistakes():
            rigl_tf._require_tensorflow_backend()
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


# What they do is not for the terminal alone.
_LONG = (commands.train, commands.sweep, commands.prepare)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise exit_codes.UserMistake(f"{message} (see `{self.prog} --help`)")


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
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True
    )

    train = subparsers.add_parser("train", help="train and evaluate one model")
    _add_words(train)
    train.add_argument(
        "--workdir",
        help="where results go; default runs/<files>-<hash of words>",
    )
    train.add_argument(
        "--workers",
        help="for hardware/multi_worker: host:port,host:port, the chief first",
    )
    train.add_argument(
        "--worker", type=int, help="which of --workers this process is, from 0"
    )
    train.set_defaults(run=commands.train)

    evaluate = subparsers.add_parser(
        "evaluate", help="evaluate the newest checkpoint of a run"
    )
    evaluate.add_argument(
        "words", nargs="*", metavar="WORD", help="e.g. hardware/gpu"
    )
    evaluate.add_argument("--workdir", required=True, help="its directory")
    evaluate.add_argument(
        "--step", type=int, help="which checkpoint; default the newest"
    )
    evaluate.add_argument(
        "--per_class",
        action="store_true",
        help="precision and recall of each class too",
    )
    evaluate.add_argument(
        "--batch_statistics",
        action="store_true",
        help="normalise by the statistics of each batch",
    )
    _add_import(evaluate)
    evaluate.set_defaults(run=commands.evaluate)

    prepare = subparsers.add_parser(
        "prepare", help="download and prepare a data set, or check it"
    )
    prepare.add_argument(
        "name",
        help="as in tensorflow_datasets, e.g. cifar10; wikitext103, wikitext2",
    )
    prepare.add_argument(
        "--data_dir",
        help="where; default TFDS_DATA_DIR or ~/tensorflow_datasets; of texts "
        "RIGL_TF_TEXT_DIR",
    )
    prepare.set_defaults(run=commands.prepare)

    _add_counting(subparsers)
    _add_sample(subparsers)

    sweep = subparsers.add_parser("sweep", help="train every line of a file")
    sweep.add_argument("name", help="file of words, e.g. sweeps/digits_mlp")
    sweep.add_argument(
        "words", nargs="*", metavar="WORD", help="more words for every run"
    )
    sweep.add_argument("--workdir", required=True, help="parent of the runs")
    sweep.add_argument(
        "--dry_run", action="store_true", help="print the runs, train nothing"
    )
    sweep.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="how many runs at a time, each in a process of its own",
    )
    sweep.add_argument(
        "--shard",
        metavar="I/N",
        default="0/1",
        help="train part I of N, every N-th run; I from 0 to N - 1",
    )
    _add_import(sweep)
    sweep.set_defaults(run=commands.sweep)

    report = subparsers.add_parser("report", help="tabulate finished runs")
    report.add_argument("directory", help="directory above the runs")
    report.add_argument(
        "--published",
        metavar="SWEEP",
        help="all published rows of a sweep, ours beside them, e.g. resnet50",
    )
    report.add_argument(
        "--format", default="md", help="md (default), csv or html"
    )
    report.set_defaults(run=report_commands.report)

    methods = subparsers.add_parser("methods", help="list methods, show cards")
    methods.add_argument("name", nargs="?", help="show its card, e.g. rigl")
    methods.set_defaults(run=count_commands.methods)

    for name, run, text in (
        ("summary", report_commands.summary, "show what a run has come to"),
        (
            "connectivity",
            report_commands.connectivity,
            "draw the input layer's connections per pixel over training",
        ),
    ):
        command = subparsers.add_parser(name, help=text)
        command.add_argument("--workdir", required=True, help="its directory")
        command.set_defaults(run=run)
    return parser


def _add_counting(subparsers):
    count = subparsers.add_parser(
        "count",
        help="count operations, parameters and bytes; trains nothing",
    )
    _add_words(count)
    count.add_argument("--model", help="count a .keras file instead of words")
    count.add_argument(
        "--input_shape",
        help="shape of an example where the file does not tell: 224,224,3",
    )
    count.add_argument(
        "--rule",
        default="exact",
        help="exact (default) or published, as the paper's tables count",
    )
    count.add_argument("--json", action="store_true", help="print JSON")
    count.set_defaults(run=count_commands.count)

    table = subparsers.add_parser(
        "table", help="count a table of the paper, published numbers beside"
    )
    table.add_argument("name", help=", ".join(count_commands.TABLES))
    table.set_defaults(run=count_commands.table)


def _add_sample(subparsers):
    sample = subparsers.add_parser(
        "sample", help="let the language model of a run write"
    )
    sample.add_argument("--workdir", required=True, help="its directory")
    sample.add_argument(
        "--prompt",
        default="\n",
        help="what it goes on with; default a line end",
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
    sample.add_argument("--seed", type=int, default=0, help="of the draws")
    sample.set_defaults(run=commands.sample)


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
