"""The commands `report`, `compare`, `summary` and `connectivity`."""

import argparse

from rigl_tf import checks
from rigl_tf.experiments import exit_codes
from rigl_tf.experiments import results
from rigl_tf.experiments import terminal


def report(arguments: argparse.Namespace) -> int:
    """Tabulate finished runs."""
    with exit_codes.mistakes():
        from rigl_tf.experiments import across_tasks
        from rigl_tf.experiments import report_formats  # these import SciPy
        from rigl_tf.experiments import report_plot
        from rigl_tf.experiments import report_statistics

        checks.one_of("--format", arguments.format, report_formats.FORMATS)
        if arguments.across_tasks and arguments.format != "md":
            raise ValueError(
                "`--across_tasks` adds a Markdown table: leave --format at md. "
                f"Received: --format={arguments.format}"
            )
        if arguments.published is not None:
            rows = results.beside_published(
                arguments.directory, arguments.published
            )
        else:
            rows = results.rows(arguments.directory)
        extra = []
        if arguments.ci:
            extra += report_statistics.intervals(rows)
        if arguments.against is not None:
            extra += report_statistics.against(rows, arguments.against)
        text = report_formats.FORMATS[arguments.format](rows, extra)
        if arguments.across_tasks:
            summary = across_tasks.table(rows, arguments.against)
            text = f"{text}\n\n{summary}"
        if arguments.plot is not None:
            if arguments.published is not None:
                rows += results.digitised(arguments.published)
            drawn = report_plot.draw(
                rows,
                arguments.plot,
                arguments.x,
                arguments.by,
                _words(arguments),
            )
            if arguments.format == "md":
                text = "\n".join([text, "", *drawn])
        elif arguments.x is not None or arguments.by is not None:
            raise ValueError(
                "`--x` and `--by` belong to a picture: name it with "
                f"--plot=FILE.png. Received: --x={arguments.x}, "
                f"--by={arguments.by}"
            )
    print(text)
    return 0


def _words(arguments: argparse.Namespace) -> list[str]:
    """Return the words of the command line that a picture depends on."""
    flags = {
        name: getattr(arguments, name)
        for name in ("published", "plot", "x", "by")
    }
    return ["report", arguments.directory] + [
        f"--{name}={value}" for name, value in flags.items() if value
    ]


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
