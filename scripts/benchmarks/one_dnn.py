"""Compare masked steps with and without oneDNN.

TensorFlow reads the setting once, so two processes take turns, one with it and
one without. Prints a Markdown table.

    python scripts/benchmarks/one_dnn.py --rounds 20
"""

import argparse
import os
import statistics
import subprocess
import sys

from rigl_tf import text_tables
from rigl_tf.experiments import one_dnn

MODELS = ("digits_mlp", "wide_mlp", "residual_cnn")


def child(name):
    """Time a masked step for each line of stdin; print milliseconds."""
    import common
    import step

    run = step.keras_step(common.MODELS[name], masked=True)
    for _ in sys.stdin:
        times = common.measure({"step": run}, n_rounds=5)
        print(times["step"], flush=True)


def start(name, value):
    """Start a process that measures a model with or without oneDNN."""
    return subprocess.Popen(
        [sys.executable, __file__, "--child", name],
        env={
            **os.environ,
            one_dnn.VARIABLE: value,
            "TF_CPP_MIN_LOG_LEVEL": "3",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def milliseconds(process):
    """Let a process measure once."""
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def bench(name, n_rounds):
    """Return the median milliseconds of a step without and with oneDNN."""
    processes = {value: start(name, value) for value in ("0", "1")}
    times = {value: [] for value in processes}
    for number in range(n_rounds + 1):
        for value, process in processes.items():
            found = milliseconds(process)
            if number:  # the first round traces
                times[value].append(found)
    for process in processes.values():
        process.communicate()
    return [statistics.median(times[value]) for value in ("0", "1")]


def main():
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    rows = []
    for name in MODELS:
        off, on = bench(name, arguments.rounds)
        rows.append([name, f"{off:.2f}", f"{on:.2f}", f"{off / on:.2f}"])
    header = ["model", "off: step, ms", "on: step, ms", "off / on"]
    print(text_tables.markdown(header, rows))


if __name__ == "__main__":
    main()
