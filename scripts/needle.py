"""Find the connections of a hidden sparse network among billions.

    python scripts/needle.py [--n=65536] [--methods=rigl,set,static] [--out=DIR]

A teacher y = x T with 8 random connections per output is to be learned by a
student with 16 per output: of n^2 possible ones it must find 8 n. The growth of
RigL sees where the gradient is largest; SET draws at random; Static keeps its
first connections. Nothing of n^2 elements is ever stored.

Each method runs in a process of its own. Prints a table; with --out, writes
needle.json and needle.png.
"""

import json
import pathlib
import platform
import resource
import subprocess
import sys
import time

from absl import app
from absl import flags

_N = flags.DEFINE_integer("n", 65536, "inputs and outputs")
_BATCH = flags.DEFINE_integer("batch", 256, "examples in a batch")
_INTERVAL = flags.DEFINE_integer("interval", 25, "steps between updates")
_UPDATES = flags.DEFINE_integer("updates", 6, "number of updates")
_RATE = flags.DEFINE_float("learning_rate", 0.1, "rate of plain SGD")
_SEED = flags.DEFINE_integer("seed", 0, "seed of teacher, student and data")
_METHODS = flags.DEFINE_list("methods", ["rigl", "set", "static"], "methods")
_OUT = flags.DEFINE_string("out", None, "directory for JSON and picture")
_ONE = flags.DEFINE_string("one", None, "run one method, print JSON")

_TEACHER, _STUDENT = 8, 16  # connections of an output


def positions_of(n, fan_in, seed):
    """Draw `fan_in` inputs for each output; equal draws count once."""
    import numpy as np

    rows = np.random.default_rng(seed).integers(0, n, (n, fan_in))
    return np.unique(rows * n + np.arange(n)[:, None])


def layer_of(positions, n, deviation, seed):
    """Return a layer n -> n with normal weights at given positions."""
    import numpy as np

    from rigl_tf import sparse

    layer = sparse.SparseDense(n, n_active=len(positions), use_bias=False)
    layer.build((None, n))
    values = np.random.default_rng(seed).normal(0, deviation, len(positions))
    layer.connect(positions, values.astype(np.float32))
    return layer


def batches(teacher, n, batch):
    """Return an endless data set of `(x, y)`: uniform inputs of variance 1."""
    import tensorflow as tf

    width = 12**0.5

    def example(step):
        seed = tf.stack([step, tf.constant(_SEED.value, tf.int64)])
        draws = tf.random.stateless_uniform([batch, n], seed)
        x = (draws - 0.5) * width
        return x, teacher(x)

    data = tf.data.Dataset.counter().map(example)
    options = tf.data.Options()  # one batch at a time: it is large
    options.experimental_optimization.inject_prefetch = False
    return data.with_options(options)


def train_one(method):
    """Train the student by one method; return a dictionary of results."""
    import keras
    import numpy as np
    import tensorflow as tf

    import rigl_tf
    from rigl_tf import updaters

    # One operation at a time: each holds a batch of n numbers.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    n, interval = _N.value, _INTERVAL.value
    n_steps = interval * (_UPDATES.value + 1)
    seed = 10 * _SEED.value
    wanted = positions_of(n, _TEACHER, seed)
    teacher = layer_of(wanted, n, _TEACHER**-0.5, seed + 1)
    first = positions_of(n, _STUDENT, seed + 2)
    student = layer_of(first, n, 0.02, seed + 3)
    inputs = keras.Input((n,))
    model = keras.Model(inputs, student(inputs))
    begun, found, losses = time.monotonic(), [], []

    def share():
        both = np.intersect1d(student.positions(), wanted, assume_unique=True)
        return len(both) / len(wanted)

    class Watch(rigl_tf.callbacks.Callback):
        def on_update(self, trainer, step):
            found.append(share())

        def on_interval(self, trainer, step, means):
            losses.append(2 * means["loss"] / n)
            bar.update(step, [("error", losses[-1])])

    # The last updates move few: what is unsolved by then would get them all,
    # more inputs than a batch has examples, and diverge.
    end = interval * _UPDATES.value - 1
    window = {"update_interval": interval, "update_end_step": end}
    if method != "static":
        window["seed"] = _SEED.value
    updater = updaters.get(method, **({} if method == "static" else window))
    trainer = rigl_tf.SparseTrainer(
        model,
        updater,
        keras.optimizers.SGD(_RATE.value),
        lambda y, z: tf.reduce_sum(tf.square(z - y), -1) / 2,
    )
    bar = keras.utils.Progbar(n_steps, stateful_metrics=["error"])
    found.append(share())
    trainer.train(
        batches(teacher, n, _BATCH.value), n_steps, [Watch(interval // 5)]
    )
    wall = time.monotonic() - begun
    updating = trainer.stopwatch.seconds.get("update", 0.0)
    return {
        "method": method,
        "possible": n * n,
        "active": student.n_active,
        "wanted": len(wanted),
        "found": found,
        "final_found": share(),
        "errors": losses,
        "wall_seconds": wall,
        "step_seconds": (wall - updating) / n_steps,
        "update_seconds": updating / max(len(found) - 1, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "backend": str(rigl_tf.sparse.available()).split(":")[0],
    }


def in_process(method):
    """Run one method in a process of its own."""
    command = [sys.executable, *sys.argv, f"--one={method}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def table(rows):
    """Return the results as Markdown."""
    lines = [
        "| method | connections found | error | step | update | wall | peak |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        found = [*row["found"][1:], row["final_found"]]
        found = ", ".join(f"{100 * share:.1f}" for share in found[-9:])
        lines.append(
            f"| {row['method']} | {found} % | {row['errors'][-1]:.5f} | "
            f"{row['step_seconds'] * 1000:.0f} ms | "
            f"{row['update_seconds']:.1f} s | {row['wall_seconds']:.0f} s | "
            f"{row['peak_mb']:.0f} MB |"
        )
    return "\n".join(lines)


def draw(rows, path):
    """Draw the connections found over the updates."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for row in rows:
        shares = [100 * share for share in row["found"]]
        if len(shares) == 1:
            shares = [100 * row["final_found"]] * (_UPDATES.value + 1)
        axis.plot(shares, marker="o", label=row["method"])
    axis.set_xlabel("mask updates")
    axis.set_ylabel("connections found [%]")
    axis.set_title(
        f"{rows[0]['wanted']:,} hidden among {rows[0]['possible']:,}"
    )
    axis.legend()
    figure.savefig(path, dpi=120)


def main(argv):
    """Run the methods, print the table."""
    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {argv[1:]}")
    if _ONE.value:
        print(json.dumps(train_one(_ONE.value)))
        return
    rows = [in_process(method) for method in _METHODS.value]
    print(f"{rows[0]['wanted']:,} hidden among {rows[0]['possible']:,}")
    print(f"{platform.machine()}, {rows[0]['backend']}\n")
    print(table(rows))
    if _OUT.value:
        out = pathlib.Path(_OUT.value)
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(rows, indent=1) + "\n"
        (out / "needle.json").write_text(text, encoding="utf-8")
        draw(rows, out / "needle.png")


if __name__ == "__main__":
    app.run(main)
