"""Arguments of the command `analyze` and of its analyses."""

from collections.abc import Callable
from typing import Any
from typing import TypeAlias

from rigl_tf.experiments import command_words
from rigl_tf.experiments.analyze import command
from rigl_tf.experiments.analyze import of_masks
from rigl_tf.experiments.analyze import of_networks

Parser: TypeAlias = Any  # `argparse` has no public name for sub-parsers


def add_analyze(subparsers: Parser) -> None:
    """Add the command `analyze`."""
    analyze = subparsers.add_parser(
        "analyze", help="analyze runs: paths, Hessians, gradients, masks"
    )
    kinds = analyze.add_subparsers(
        dest="kind", metavar="ANALYSIS", required=True
    )
    for add, analysis, text in _ANALYSES:
        parser = kinds.add_parser(analysis.__name__, help=text)
        add(parser)
        command_words.add_import(parser)
        parser.add_argument(
            "--output",
            help="directory for the JSON file and the picture; default "
            "analysis/ below the run, or here",
        )
        parser.set_defaults(run=command.analyze, analysis=analysis)


def _add_below(parser: Parser) -> None:
    parser.add_argument(
        "--in",
        dest="below",
        metavar="DIR",
        help="directory above the runs that @LABEL names",
    )


def _add_examples(parser: Parser, split: str, count: int | None) -> None:
    _add_below(parser)
    parser.add_argument(
        "--split", default=split, help=f"train or test; default {split}"
    )
    parser.add_argument(
        "--examples",
        type=int,
        default=count,
        help=f"number of examples; default {count or 'all'}",
    )


def _add_ends(parser: Parser) -> None:
    for name, dest, count, text in (
        ("from", "first", "+", "runs at t = 0: work directories, or @LABEL"),
        ("to", "to", None, "run at t = 1"),
    ):
        parser.add_argument(
            f"--{name}",
            dest=dest,
            nargs=count,
            required=True,
            metavar="RUN",
            help=text,
        )
        parser.add_argument(
            f"--step_{name}",
            type=int,
            help="step of a checkpoint; default the end of the run",
        )
    _add_examples(parser, "train", None)


def _add_interpolate(parser: Parser) -> None:
    _add_ends(parser)
    parser.add_argument(
        "--points", type=int, default=29, help="points of the line; default 29"
    )
    parser.add_argument(
        "--low", type=float, default=-0.2, help="first t; default -0.2"
    )
    parser.add_argument(
        "--high", type=float, default=1.2, help="last t; default 1.2"
    )


def _add_bezier(parser: Parser) -> None:
    _add_ends(parser)
    parser.add_argument(
        "--degree", type=int, default=2, help="2 (default) or 3"
    )
    parser.add_argument(
        "--space",
        default="sparse",
        help="sparse (default): only weights move that are active in either "
        "network; dense: all",
    )
    parser.add_argument(
        "--steps", type=int, default=3000, help="steps; default 3000"
    )
    parser.add_argument(
        "--rate", type=float, default=0.05, help="learning rate; default 0.05"
    )
    parser.add_argument(
        "--batch_size",
        type=int,
        default=500,
        help="examples of a step; default 500",
    )
    parser.add_argument(
        "--points", type=int, default=25, help="points of the curve; default 25"
    )
    _add_seed(parser)


def _add_hessian(parser: Parser) -> None:
    _add_runs(parser)
    _add_examples(parser, "train", 1000)
    parser.add_argument(
        "--step", type=int, help="step of a checkpoint; default the end"
    )
    parser.add_argument(
        "--steps", type=int, default=60, help="Lanczos steps; default 60"
    )
    parser.add_argument(
        "--probes", type=int, default=10, help="random vectors; default 10"
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="compute the whole matrix, of up to 3,000 weights",
    )
    _add_seed(parser)


def _add_flow(parser: Parser) -> None:
    _add_runs(parser)
    _add_examples(parser, "train", 10_000)
    parser.add_argument(
        "--updates",
        action="store_true",
        help="also update the masks at each checkpoint, and measure again",
    )


def _add_agreement(parser: Parser) -> None:
    _add_runs(parser)
    _add_examples(parser, "test", None)
    parser.add_argument(
        "--reference", metavar="RUN", help="compare each run with this one too"
    )


def _add_masks(parser: Parser) -> None:
    parser.add_argument("run_name", metavar="RUN", help="a run, or @LABEL")
    _add_below(parser)


def _add_sparsity(parser: Parser) -> None:
    parser.add_argument(
        "words",
        nargs="+",
        metavar="WORD",
        help="e.g. tasks/imagenet_resnet50 methods/rigl SPARSITY=0.9",
    )


def _add_signal(parser: Parser) -> None:
    parser.add_argument(
        "words", nargs="+", metavar="WORD", help="e.g. tasks/mnist_lenet5"
    )
    parser.add_argument(
        "--sparsities",
        default="0.8,0.845,0.89,0.935,0.98",
        help="default 0.8,0.845,0.89,0.935,0.98",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="networks of each kind; default 3"
    )
    parser.add_argument(
        "--examples", type=int, default=500, help="inputs; default 500"
    )


def _add_curves(parser: Parser) -> None:
    _add_runs(parser)
    _add_below(parser)
    parser.add_argument(
        "--y", default="loss", help="number of metrics.jsonl; default loss"
    )


def _add_runs(parser: Parser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="work directories, or @LABEL of a sweep",
    )


def _add_seed(parser: Parser) -> None:
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of random draws; default 0"
    )


_Analysis: TypeAlias = Callable[..., command.Outcome]
_ANALYSES: tuple[tuple[Callable[[Parser], None], _Analysis, str], ...] = (
    (
        _add_interpolate,
        of_networks.interpolate,
        "compute the loss on the line between two runs",
    ),
    (
        _add_bezier,
        of_networks.bezier,
        "find a Bezier curve of low loss between two runs",
    ),
    (
        _add_hessian,
        of_networks.hessian,
        "compute the spectrum of the Hessian of runs",
    ),
    (
        _add_flow,
        of_networks.flow,
        "compute norms of the gradient at the checkpoints of runs",
    ),
    (
        _add_agreement,
        of_networks.agreement,
        "compare the answers and the weights of runs",
    ),
    (
        _add_signal,
        of_masks.signal,
        "measure how the first weights of sparse networks scale signals",
    ),
    (
        _add_masks,
        of_masks.masks,
        "measure the recorded masks of a run over training",
    ),
    (
        _add_sparsity,
        of_masks.sparsity,
        "compare what distributions make of an experiment's sparsity",
    ),
    (
        _add_curves,
        of_masks.curves,
        "draw one number over the steps of several runs",
    ),
)
