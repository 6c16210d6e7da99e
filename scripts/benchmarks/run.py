"""Say where the time of a whole run goes, from its words to its files.

    python scripts/benchmarks/run.py tasks/digits_mlp methods/rigl SPARSITY=0.9

Trains with the command line in a temporary directory, several times, each in
its own process, and prints the medians of the seconds that result.json counts.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from rigl_tf import run_files
from rigl_tf import text_tables

_CHILD = """
import sys, time
began = time.monotonic()
from rigl_tf.experiments import one_dnn
one_dnn.prefer()
import tensorflow
imported = time.monotonic()
from rigl_tf import cli
code = cli.main(sys.argv[1:])
print(imported - began, time.monotonic() - imported)
sys.exit(code)
"""
_NAMES = {
    "step": "steps, the first of which is traced",
    "update": "mask updates, the first of which is traced",
    "input": "waiting for batches",
    "checkpoint": "checkpoints",
}


def run(words, directory):
    """Train once; return the seconds of each activity after the import."""
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            _CHILD,
            "train",
            *words,
            f"--workdir={directory}",
        ],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    imported, total = map(float, answer.stdout.splitlines()[-1].split())
    path = pathlib.Path(directory) / run_files.RESULT
    seconds = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    found = {name: seconds.get(key, 0.0) for key, name in _NAMES.items()}
    rest = total - sum(found.values())
    found["words, data, network, evaluation, files"] = rest
    return {"import tensorflow": imported, "after it": total, **found}


def main():
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as directory:
            found.append(run(arguments.words, directory))
    medians = {n: statistics.median(row[n] for row in found) for n in found[0]}
    total = medians["after it"]
    rows = [
        [name, f"{value:.2f}", f"{100 * value / total:.0f} %"]
        for name, value in medians.items()
    ]
    rows[0][-1] = "–"
    print(text_tables.markdown(["activity", "seconds", "share"], rows))


if __name__ == "__main__":
    main()
