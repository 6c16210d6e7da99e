r"""Put a table that a command printed into the README, between its markers.

    rigl_tf report DIR | python scripts/readme_table.py mnist_mlp \
        --command "rigl_tf sweep sweeps/mnist_mlp --workdir=DIR"

Only tables put there this way hold numbers. The caption names the command, the
machine and the date.
"""

import argparse
import datetime
import os
import pathlib
import platform
import re
import sys

README = pathlib.Path(__file__).parent.parent / "README.md"


def insert(text, name, table):
    """Return the README's text with the block `name` replaced."""
    start, end = f"<!-- table: {name} -->", "<!-- end of table -->"
    pattern = rf"{re.escape(start)}.*?{re.escape(end)}"
    if not re.search(pattern, text, re.DOTALL):
        raise ValueError(
            f"The README must hold {start} ... {end}. Received: {name!r}"
        )
    block = f"{start}\n{table}\n{end}"
    return re.sub(pattern, lambda _: block, text, flags=re.DOTALL)


def caption(command):
    """Say what made the table, where and when."""
    cores = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return f"`{command}`, {cores}, {datetime.date.today().isoformat()}."


def main():
    """Read a table from standard input and write it into the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the block")
    parser.add_argument("--command", required=True, help="what made the table")
    arguments = parser.parse_args()
    table = f"{sys.stdin.read().strip()}\n\n{caption(arguments.command)}"
    README.write_text(
        insert(README.read_text(encoding="utf-8"), arguments.name, table),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
