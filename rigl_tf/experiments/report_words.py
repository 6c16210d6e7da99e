"""Arguments of the commands `report` and `compare`."""

from typing import Any
from typing import TypeAlias

from rigl_tf.experiments import report_commands

Subparsers: TypeAlias = Any  # `argparse` has no public name for it


def add_report(subparsers: Subparsers) -> None:
    """Add the command `report`."""
    report = subparsers.add_parser("report", help="tabulate finished runs")
    report.add_argument("directory", help="directory above the runs")
    report.add_argument(
        "--published",
        metavar="SWEEP",
        help="show all published rows of a sweep, e.g. resnet50, beside ours",
    )
    report.add_argument(
        "--format", default="md", help="md (default), csv or html"
    )
    report.add_argument(
        "--ci",
        action="store_true",
        help="add Student's 95 %% intervals, groups that do not differ, and "
        "whether published accuracies agree",
    )
    report.add_argument(
        "--against",
        metavar="METHOD",
        help="add the difference to a method, with Welch's interval",
    )
    report.add_argument(
        "--across_tasks",
        action="store_true",
        help="also compare the methods over all tasks and sparsities",
    )
    report.add_argument("--plot", metavar="FILE", help="also draw a PNG file")
    report.add_argument(
        "--x",
        help="of the plot: train_flops (default), flops, sparsity, "
        "training_multiplier or step",
    )
    report.add_argument(
        "--by",
        metavar="NAME,NAME",
        help="of the plot: a setting for colors, or two for a heat map",
    )
    report.set_defaults(run=report_commands.report)


def add_compare(subparsers: Subparsers) -> None:
    """Add the command `compare`."""
    compare = subparsers.add_parser(
        "compare",
        help="compare the predictions of two runs, trained with "
        "PREDICTIONS=True",
    )
    compare.add_argument(
        "runs", nargs=2, metavar="RUN", help="work directory of a run"
    )
    compare.set_defaults(run=report_commands.compare)
