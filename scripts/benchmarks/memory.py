"""Measure the memory of masked training over that of dense training.

Each candidate trains an MLP by `fit`, with SGD and momentum, in a process of
its own; figures are medians of the peaks of these processes, from the first
step on. A copy is one float32 for each weight: dense training keeps two,
weights and momentum, and for a time a third, gradients. glibc keeps much of
what is freed, for each thread; "in use" is the peak when it gives all back at
once. Prints a Markdown table.

    python scripts/benchmarks/memory.py --rounds 3
"""

import argparse
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
_PEAK = pathlib.Path("/proc/self/clear_refs")
_N_STEPS = 12


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
    settings = {"as it is": {}, "in use": _GIVE_BACK}
    peaks = {(s, name): [] for s in settings for name in CANDIDATES}
    for _ in range(n_rounds):
        for (setting, name), found in peaks.items():
            n_weights, n_bytes = peak(name, width, settings[setting])
            found.append(n_bytes)
    medians = {key: statistics.median(found) for key, found in peaks.items()}
    rows = []
    for name in CANDIDATES:
        row = [name, f"{n_weights / 1e6:.1f}"]
        for setting in settings:
            found, dense = medians[setting, name], medians[setting, "dense"]
            copies = (found - dense) / (4 * n_weights)
            row += [f"{found / 1e6:.0f}", f"{copies:+.2f}"]
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
