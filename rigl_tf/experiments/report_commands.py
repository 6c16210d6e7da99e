"""The commands `report`, `compare`, `summary` and `connectivity`."""

import argparse

from rigl_tf import checks
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import report_formats
from rigl_tf.experiments import results
from rigl_tf.experiments import terminal


def report(arguments: argparse.Namespace) -> int:
    """Tabulate finished runs."""
    with exit_codes.mistakes():
        checks.one_of("--format", arguments.format, report_formats.FORMATS)
        if arguments.published is not None:
            rows = results.beside_published(
                arguments.directory, arguments.published
            )
        else:
            rows = results.rows(arguments.directory)
        text = report_formats.FORMATS[arguments.format](rows)
    print(text)
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """Compare the predictions of two runs."""
    with exit_codes.mistakes():
        from rigl_tf.experiments import comparison  # imports SciPy

        text = comparison.compare(*arguments.runs)
    print(text)
    return 0


def summary(arguments: argparse.Namespace) -> int:
    """Show the results of a run, or its progress."""
    with exit_codes.mistakes():
        terminal.print_summary(arguments.workdir)
    return 0


def connectivity(arguments: argparse.Namespace) -> int:
    """Draw the connections of the input layer."""
    with exit_codes.mistakes():
        from rigl_tf.experiments import connectivity

        for line in connectivity.draw(arguments.workdir):
            print(line)
    return 0
