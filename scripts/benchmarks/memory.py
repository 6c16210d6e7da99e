"""Measure the memory of masked training over that of dense training.

Each candidate trains an MLP by `fit`, with SGD and momentum, in a process of
its own; figures are medians of the peaks of these processes, from the first
step on. A copy is one float32 for each weight: dense training keeps two,
weights and momentum, and for a time a third, gradients. What the same training
of a tiny network takes, programs and graphs, is not counted in copies. glibc
keeps much of what is freed, for each thread; "in use" is the peak when it gives
all back at once. Prints a Markdown table.

    python scripts/benchmarks/memory.py --rounds 3
"""

import argparse
import itertools
import os
import pathlib
import statistics
import subprocess
import sys

from rigl_tf import text_tables

CANDIDATES = ("dense", "fixed masks", "RigL")
_GIVE_BACK = {
    "MALLOC_MMAP_THRESHOLD_": "1000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000",
}
_SETTINGS = {"as it is": {}, "in use": _GIVE_BACK}
_PEAK = pathlib.Path("/proc/self/clear_refs")
_N_STEPS = 12
_TINY = 16


def child(candidate, width):
    """Train; print the number of weights and the peak memory in bytes."""
    import gc

    import common
    import tensorflow as tf

    import rigl_tf
    from rigl_tf import models
    from rigl_tf import updaters

    model = models.mlp((1024,), 10, hidden=(width,) * 4)
    n_weights = model.count_params()
    data = tf.data.Dataset.from_tensors(next(common.batches(model, 64)))
    if candidate != "dense":
        updater = updaters.Static()
        if candidate == "RigL":
            updater = updaters.RigL(update_interval=4, update_end_step=_N_STEPS)
        model = rigl_tf.sparsify(model, 0.9)
        model = rigl_tf.SparseModel(model, updater)
    model.compile(common.optimizer(), common.LOSS)
    gc.collect()  # the dense model
    _PEAK.write_text("5", encoding="ascii")  # begin a new peak
    model.fit(data.repeat(), steps_per_epoch=_N_STEPS, verbose=0)
    text = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    print(n_weights, 1024 * int(text.split("VmHWM:")[1].split()[0]))


def peak(candidate, width, environment):
    """Return the number of weights and the peak memory of a candidate."""
    words = [sys.executable, "-W", "ignore", __file__, "--child", candidate]
    done = subprocess.run(
        [*words, f"--width={width}"],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    n_weights, found = done.stdout.split()[-2:]
    return int(n_weights), int(found)


def bench(width, n_rounds):
    """Return the rows of the table."""
    kinds = itertools.product(_SETTINGS, CANDIDATES, (width, _TINY))
    peaks = {kind: [] for kind in kinds}
    for _ in range(n_rounds):
        for (setting, name, units), found in peaks.items():
            found.append(peak(name, units, _SETTINGS[setting]))

    def median(setting, name, units):
        return statistics.median(n for _, n in peaks[setting, name, units])

    def by_weights(setting, name):
        return median(setting, name, width) - median(setting, name, _TINY)

    rows = []
    for name in CANDIDATES:
        n_weights = peaks["in use", name, width][0][0]
        row = [name, f"{n_weights / 1e6:.1f}"]
        for setting in _SETTINGS:
            more = by_weights(setting, name) - by_weights(setting, "dense")
            row.append(f"{median(setting, name, width) / 1e6:.0f}")
            row.append(f"{more / (4 * n_weights):+.2f}")
        rows.append(row)
    return rows


def main():
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=4096)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child, arguments.width)
        return
    header = [
        *("training", "weights, M", "peak, MB", "over dense, copies"),
        *("peak in use, MB", "over dense, copies"),
    ]
    rows = bench(arguments.width, arguments.rounds)
    print(text_tables.markdown(header, rows))


if __name__ == "__main__":
    main()
