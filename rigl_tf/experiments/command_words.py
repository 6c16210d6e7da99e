"""Arguments that several commands have."""

import argparse


def add_words(parser: argparse.ArgumentParser) -> None:
    """Add words of configuration, and `--import`."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="configuration files and settings, e.g. tasks/digits_mlp "
        "methods/rigl SPARSITY=0.98",
    )
    add_import(parser)


def add_run(parser: argparse.ArgumentParser) -> None:
    """Add `--workdir`, of a run."""
    parser.add_argument(
        "--workdir", required=True, help="work directory of the run"
    )


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add `--import`."""
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="module with your own models, data sets or methods",
    )


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add `--workdir` or `--model`, and `--output`."""
    parser.add_argument("--workdir", help="work directory of a finished run")
    parser.add_argument("--model", help="a .keras file instead of a run")
    parser.add_argument(
        "--output", help="directory to write to; default below the run"
    )
    add_import(parser)
