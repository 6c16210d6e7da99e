"""Print seconds of tests by folder, from reports of pytest (`--junitxml`).

    python tests/support/seconds.py default.xml slow.xml process.xml

One column for each report, named after the file; sums over tests, so with two
workers the wait is about half as long.
"""

import collections
import pathlib
import sys
from xml.etree import ElementTree


def table(reports):
    """Return rows of `(folder, number of tests, seconds of each report)`."""
    counts = collections.Counter()
    seconds = collections.defaultdict(lambda: [0.0] * len(reports))
    for column, report in enumerate(reports):
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            folder = case.get("classname").split(".")[1]
            folder = "top" if folder.startswith("test_") else folder
            counts[folder] += 1
            seconds[folder][column] += float(case.get("time"))
    return [(name, counts[name], *seconds[name]) for name in sorted(counts)]


def main(reports):
    """Print a Markdown table."""
    rows = table(reports)
    rows.append(("all", *(sum(values) for values in list(zip(*rows))[1:])))
    names = [f"{pathlib.Path(report).stem} [s]" for report in reports]
    print(f"| folder | tests | {' | '.join(names)} |")
    print(f"|---|{'---:|' * (len(reports) + 1)}")
    for folder, n, *seconds in rows:
        print(f"| {folder} | {n} | {' | '.join(f'{s:.0f}' for s in seconds)} |")


if __name__ == "__main__":
    main(sys.argv[1:])
