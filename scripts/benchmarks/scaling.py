"""Compare two processes of one thread with one process of two threads.

WideResNet-22-2 at the same global batch; both set-ups take turns, so that a
busy machine slows them alike. Prints a Markdown table.

    python scripts/benchmarks/scaling.py --rounds 10
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

from rigl_tf import text_tables
from rigl_tf.experiments import one_dnn

_BATCH = 64
_STEPS = 4


def child(n_threads, tf_config):
    """Train some steps for each line of stdin; print the seconds."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if tf_config:
        os.environ["TF_CONFIG"] = tf_config
    import keras
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(n_threads)
    tf.config.threading.set_inter_op_parallelism_threads(n_threads)

    import rigl_tf
    from rigl_tf import models
    from rigl_tf.training.hardware import strategies

    make = strategies.multi_worker if tf_config else None
    hardware = strategies.Hardware(strategy=make)
    strategy = hardware.create()
    with hardware.scope(strategy):
        model = rigl_tf.sparsify(models.wide_resnet((32, 32, 3), 10), 0.9)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    trainer = rigl_tf.SparseTrainer(
        model,
        rigl_tf.updaters.Static(),
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        strategy,
    )

    def pipeline(context):
        size = context.get_per_replica_batch_size(_BATCH)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(size, 32, 32, 3)).astype("float32")
        y = rng.integers(0, 10, size)
        return tf.data.Dataset.from_tensors((x, y)).cache().repeat()

    batches = iter(hardware.batches(strategy, pipeline))
    for _ in sys.stdin:
        began = time.monotonic()
        trainer.train(batches, trainer.step + _STEPS)
        print((time.monotonic() - began) / _STEPS, flush=True)


def start(n_threads, tf_config=""):
    """Start a child."""
    return subprocess.Popen(
        [sys.executable, __file__, f"--child={n_threads}", tf_config],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def measure(processes):
    """Let processes train together; return the seconds per step."""
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    return max(float(process.stdout.readline()) for process in processes)


def main():
    """Start both set-ups, let them take turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("tf_config", nargs="?", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments.child, arguments.tf_config)
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    import launch_local

    from rigl_tf.training.hardware import cluster_config

    hosts = [f"127.0.0.1:{port}" for port in launch_local.ports(2)]
    setups = {
        "1 process x 2 threads": [start(2)],
        "2 processes x 1 thread": [
            start(1, cluster_config.tf_config(hosts, index))
            for index in range(2)
        ],
    }
    times = {name: [] for name in setups}
    for number in range(arguments.rounds + 1):
        for name, processes in setups.items():
            seconds = measure(processes)
            if number:  # the first round compiles
                times[name].append(seconds)
    for processes in setups.values():
        for process in processes:
            process.communicate()
    medians = {name: statistics.median(s) for name, s in times.items()}
    base = next(iter(medians.values()))
    header = ["WRN-22-2, batch 64", "step, ms", "examples/s, ratio"]
    rows = [
        [name, f"{1000 * median:.0f}", f"{base / median:.3f}"]
        for name, median in medians.items()
    ]
    print(text_tables.markdown(header, rows))
    print(f"\noneDNN {one_dnn.state()}")
    return None


if __name__ == "__main__":
    sys.exit(main())
