"""Print seconds of tests by folder and tier, from a report of pytest.

    python tests/support/seconds.py report.xml

Sums over tests: with two workers the wait is about half as long. Fails unless
every test that was selected ran.
"""

import collections
import sys
from xml.etree import ElementTree

TIERS = ("default", "slow", "process")


def value_of(case, name):
    """Return what `conftest.py` noted of a test, None if its process died."""
    found = case.find(f"properties/property[@name='{name}']")
    return None if found is None else found.get("value")


def table(cases):
    """Return rows of `(folder, number of tests, seconds of each tier)`."""
    counts = collections.Counter()
    seconds = collections.defaultdict(lambda: dict.fromkeys(TIERS, 0.0))
    for case in cases:
        folder = case.get("classname").split(".")[1]
        folder = "top" if folder.startswith("test_") else folder
        tier = value_of(case, "tier") or "process"
        counts[folder] += 1
        seconds[folder][tier] += float(case.get("time"))
    return [
        (name, counts[name], *seconds[name].values()) for name in sorted(counts)
    ]


def main(report):
    """Print a Markdown table; return 1 if tests are missing."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    rows = table(cases)
    rows.append(("all", *(sum(values) for values in list(zip(*rows))[1:])))
    names = [f"{tier} [s]" for tier in TIERS]
    print(f"| folder | tests | {' | '.join(names)} |")
    print(f"|---|{'---:|' * (len(TIERS) + 1)}")
    for folder, n, *seconds in rows:
        print(f"| {folder} | {n} | {' | '.join(f'{s:.0f}' for s in seconds)} |")

    n_selected = max(int(value_of(c, "selected") or 0) for c in cases)
    print(f"{len(cases)} tests of {n_selected}")
    return int(len(cases) != n_selected)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
