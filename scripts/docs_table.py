r"""Put a table that a command printed into a page, between its markers.

    rigl_tf report DIR | python scripts/docs_table.py mnist_mlp \
        --command "rigl_tf sweep sweeps/mnist_mlp --workdir=DIR"

The page is the one of README.md and docs/*.md that has the markers. Only tables
that were put there this way hold numbers. The caption names the command, the
machine and the date.
"""

import argparse
import datetime
import os
import pathlib
import platform
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
END = "<!-- end of table -->"


def start(name):
    """Return the marker before a table."""
    return f"<!-- table: {name} -->"


def find(name, root=ROOT):
    """Return the path of the page that has the markers of a table.

    Raises:
        ValueError: there is no such page, or more than one.
    """
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    found = [p for p in pages if start(name) in p.read_text(encoding="utf-8")]
    if len(found) != 1:
        raise ValueError(
            f"One page must hold {start(name)} ... {END}. Received: "
            f"{name!r}, which is in {[str(page) for page in found]}"
        )
    return found[0]


def insert(text, name, table):
    """Return the text of a page with the block `name` replaced.

    Raises:
        ValueError: the page does not have the block.
    """
    pattern = rf"{re.escape(start(name))}.*?{re.escape(END)}"
    if not re.search(pattern, text, re.DOTALL):
        raise ValueError(
            f"The page must hold {start(name)} ... {END}. Received: {name!r}"
        )
    block = f"{start(name)}\n{table}\n{END}"
    return re.sub(pattern, lambda _: block, text, flags=re.DOTALL)


def relative_links(table, page, root=ROOT):
    """Return a table whose links to files of the repository suit a page.

    Args:
        table: text with links that are relative to the repository.
        page: path of the page.
        root: path of the repository.
    """
    up = "../" * len(page.relative_to(root).parent.parts)

    def link(match):
        exists = (root / match[1]).exists()
        return f"]({up if exists else ''}{match[1]})"

    return re.sub(r"\]\(([^)]+)\)", link, table)


def caption(command):
    """Say what made the table, where and when."""
    cores = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return f"`{command}`, {cores}, {datetime.date.today().isoformat()}."


def main():
    """Read a table from standard input and write it into its page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="name of the block")
    parser.add_argument("--command", required=True, help="what made the table")
    arguments = parser.parse_args()
    page = find(arguments.name)
    table = relative_links(sys.stdin.read().strip(), page)
    text = insert(
        page.read_text(encoding="utf-8"),
        arguments.name,
        f"{table}\n\n{caption(arguments.command)}",
    )
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
