"""Print seconds of tests by folder and tier, from a report of pytest.

    python tests/support/seconds.py report.xml

Sums over tests: with two workers the wait is about half as long.
"""

import collections
import sys
from xml.etree import ElementTree

TIERS = ("default", "slow", "process")


def table(report):
    """Return rows of `(folder, number of tests, seconds of each tier)`."""
    counts = collections.Counter()
    seconds = collections.defaultdict(lambda: dict.fromkeys(TIERS, 0.0))
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        folder = case.get("classname").split(".")[1]
        folder = "top" if folder.startswith("test_") else folder
        tier = case.find("properties/property[@name='tier']").get("value")
        counts[folder] += 1
        seconds[folder][tier] += float(case.get("time"))
    return [
        (name, counts[name], *seconds[name].values()) for name in sorted(counts)
    ]


def main(report):
    """Print a Markdown table."""
    rows = table(report)
    rows.append(("all", *(sum(values) for values in list(zip(*rows))[1:])))
    names = [f"{tier} [s]" for tier in TIERS]
    print(f"| folder | tests | {' | '.join(names)} |")
    print(f"|---|{'---:|' * (len(TIERS) + 1)}")
    for folder, n, *seconds in rows:
        print(f"| {folder} | {n} | {' | '.join(f'{s:.0f}' for s in seconds)} |")


if __name__ == "__main__":
    main(sys.argv[1])
