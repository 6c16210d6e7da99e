r"""Compare rigl_tf with what a user would take instead, on the same work.

LeNet-300-100 on MNIST, 98 % sparse, in 6,000 steps of 100 images; masked and
dense steps of a ResNet-18 on 32 images of 32x32, 90 % sparse; and one update
of the masks of ResNet-50's 54 kernels, each 90 % sparse. Each piece of work of
each candidate runs in a process of its own, on all cores of the CPU. Each
round makes all of them once, in an order that rotates, so that a busy machine
slows all alike. Every library draws its own first weights and runs as its
users would run it: compiled in TensorFlow and JAX, eagerly in PyTorch. MNIST
is one array in memory, the same for all.

The candidates need different versions of the same packages, hence two
environments. From a clone of this repository, with Python 3.11:

    python -m venv ours
    ours/bin/pip install --editable . tf-keras==2.21.0
    python -m venv others
    others/bin/pip install torch==2.14.1 torchvision==0.29.1 \
        rigl-torch==0.5.2 jax==0.4.26 jaxlib==0.4.26 flax==0.8.2 \
        optax==0.2.2 chex==0.1.86 ml-collections==0.1.1 numpy==1.26.4 \
        scipy==1.12.0
    git clone https://github.com/google-research/jaxpruner
    git clone \
        https://github.com/Shiweiliuiiiiiii/In-Time-Over-Parameterization itop
    python=others/bin/python
    ours/bin/python scripts/benchmarks/peers.py \
        --jaxpruner=jaxpruner --itop=itop --python_of rigl_torch=$python \
        jaxpruner=$python itop=$python

`--steps=300 --seeds=1 --rounds=2 --only rigl_tf itop` is a quick try. MNIST is
read by tensorflow_datasets; TFDS_DATA_DIR says where it is.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

import common
import numpy as np
from peer_trainers import child
from peer_trainers import networks

import rigl_tf
from rigl_tf import text_tables

# Candidate -> the library that `--python_of` and the flags of paths name.
PEERS = {
    "rigl_tf": "rigl_tf",
    "rigl_tf_fit": "rigl_tf",
    "rigl_torch": "rigl_torch",
    "rigl_torch_erk": "rigl_torch",
    "itop": "itop",
    "jaxpruner": "jaxpruner",
    "rigl_tf_pruning": "rigl_tf",
    "tfmot": "tfmot",
}
LIBRARIES = tuple(dict.fromkeys(PEERS.values()))
# Variants do what the row above them does not do already.
WORKS_OF = {
    "rigl_tf_fit": ("train",),
    "rigl_torch_erk": ("train",),
    "rigl_tf_pruning": ("train", "update"),
}
NOTES = {
    "rigl_tf": "rigl_tf takes an extra batch for each update; all others, "
    "but ITOP and pruning, update instead of a step.",
    "rigl_torch": "rigl-torch keeps the first layer dense (of LeNet-300-100, "
    "88 % of the weights) and has no ERK.",
    "rigl_torch_erk": "ERK for rigl-torch: masks drawn by this benchmark, "
    "handed in by the documented argument `state_dict`.",
    "itop": "ITOP needs a GPU: its calls of `cuda()` are made to do nothing. "
    "It has no last update: this benchmark ends the updates. Its update is "
    "`truncate_weights` alone, without the statistics that it prints.",
    "jaxpruner": "JaxPruner calls `jax.tree_map`, which JAX 0.6 removed.",
    "tfmot": "TFMOT has no sparse training: its network starts dense and is "
    "pruned gradually, as that of rigl_tf by `updaters.Pruning`.",
}
LIMIT_S = 3600


def settings_of(arguments):
    """Return the settings that all candidates share."""
    interval = max(1, arguments.steps // 60)
    names = range(len(networks.LENET) - 1)
    shapes = dict(zip(names, zip(networks.LENET, networks.LENET[1:])))
    sparsities = rigl_tf.distributions.erdos_renyi_kernel(shapes, 0.98)
    return {
        "steps": arguments.steps,
        "batch": 100,
        "rate": 0.1,
        "sparsity": 0.98,
        "densities": [1 - sparsities[name] for name in names],
        "drop": 0.3,
        "interval": interval,
        "prune_begin": 10 * interval,
        "end": 45 * interval,
        "images": 32,
        "rounds": arguments.rounds,
        "updates": arguments.updates,
    }


def write_mnist(path):
    """Write MNIST as arrays: float32 pixels in [0, 1], integer labels."""
    training, test = rigl_tf.datasets.mnist().splits
    arrays = {"x": training.inputs, "x_test": test.inputs}
    arrays = {
        name: (images.reshape(len(images), -1) / 255).astype(np.float32)
        for name, images in arrays.items()
    }
    labels = {"y": training.labels, "y_test": test.labels}
    labels = {name: y.astype(np.int64) for name, y in labels.items()}
    np.savez(path, **arrays, **labels)


def environment(library):
    """Return the environment of a candidate: the CPU, with all its cores."""
    cores = str(os.cpu_count())
    ours = {
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "OMP_NUM_THREADS": cores,
        "TF_NUM_INTRAOP_THREADS": cores,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_ENABLE_ONEDNN_OPTS": one_dnn(),
    }
    if library == "tfmot":
        ours["TF_USE_LEGACY_KERAS"] = "1"
    return {**os.environ, **ours}


def one_dnn():
    """Return the state of oneDNN in both candidates with TensorFlow."""
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")


def run(peer, python, settings):
    """Return what a process of its own measures, or its error."""
    command = [python, child.__file__, json.dumps(settings)]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(PEERS[peer]),
            timeout=LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = (done.stderr.splitlines() or ["no message"])[-1]
        return {"error": f"exit status {done.returncode}: {last}"}
    result = json.loads(lines[-1])
    if "error" in result:
        print(done.stderr[-2000:], file=sys.stderr)
    return result


def measure(arguments, data):
    """Return a list of rows: the results of every process."""
    settings = {**settings_of(arguments), "data": data}
    pythons = dict(pair.split("=", 1) for pair in arguments.python_of)
    rows, failed = [], set()
    for seed in range(arguments.seeds):
        turn = seed % len(arguments.only)
        for peer in arguments.only[turn:] + arguments.only[:turn]:
            library = PEERS[peer]
            path = getattr(arguments, library, None)
            own = {"peer": peer, "seed": seed}
            own["path"] = path and str(pathlib.Path(path).resolve())
            works = WORKS_OF.get(peer, arguments.works)
            for work in arguments.works:
                if work not in works or (peer, work) in failed:
                    continue
                row = run(
                    peer,
                    pythons.get(library, sys.executable),
                    {**settings, **own, "work": work},
                )
                if "error" in row:
                    failed.add((peer, work))
                print(f"{peer}, {work}, seed {seed}", file=sys.stderr)
                rows.append({"peer": peer, "work": work, "seed": seed, **row})
    return rows


def values(rows, peer, key):
    """Return one result of a candidate, a number per round."""
    return [row[key] for row in rows if row["peer"] == peer and key in row]


def middle(numbers, form):
    """Return the median as text; a dash for none."""
    return format(statistics.median(numbers), form) if numbers else "–"


def accuracy(rows, peer):
    """Return the mean and the standard deviation, in percent."""
    found = [100 * value for value in values(rows, peer, "accuracy")]
    if not found:
        return "–"
    mean = f"{statistics.mean(found):.2f}"
    if len(found) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(found):.2f}"


def cells(rows, peer):
    """Return the row of the table for one candidate."""
    mine = [row for row in rows if row["peer"] == peer]
    good = [row for row in mine if "error" not in row]
    first = ["version", "method", "distribution"]
    if good:
        first = [good[0][name] for name in first]
    else:
        first = [peer, mine[0]["error"], "–"]
    trained = [row for row in good if row["work"] == "train"]
    return [
        *first,
        middle([100 * s for s in values(rows, peer, "sparsity")], ".1f"),
        accuracy(rows, peer),
        middle(values(rows, peer, "train_cpu_s"), ".1f"),
        middle([row["process_cpu_s"] for row in trained], ".1f"),
        middle(values(rows, peer, "train_wall_s"), ".1f"),
        middle([row["peak_mb"] for row in trained], ".0f"),
        middle(values(rows, peer, "masked_over_dense"), ".3f"),
        middle([1000 * s for s in values(rows, peer, "dense_step_s")], ".0f"),
        middle(values(rows, peer, "update_s"), ".2f"),
    ]


def table(rows, peers):
    """Return the results as Markdown, without columns that are empty."""
    header = [
        "library",
        "method",
        "distribution",
        "sparsity, %",
        "test accuracy, %",
        "CPU of training, s",
        "CPU of process, s",
        "training, s",
        "memory, MB",
        "masked / dense step",
        "dense step, ms",
        "mask update, s",
    ]
    body = [cells(rows, peer) for peer in peers]
    columns = [
        (name, *column)
        for name, column in zip(header, zip(*body))
        if set(column) != {"–"}
    ]
    first, *others = zip(*columns)
    return text_tables.markdown(first, others)


def notes(rows, peers):
    """Return what the table cannot say, one line each."""
    lines = [NOTES[peer] for peer in peers if peer in NOTES]
    lines += [
        f"{row['peer']}, {row['work']}: {row['error']}"
        for row in rows
        if "error" in row
    ]
    lines.append(
        "Process: the training process from its start to its end, with "
        "imports and test; memory: its peak, with the arrays of MNIST."
    )
    return "\n".join(f"- {line}" for line in lines)


def parse(argv=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seeds", type=int, default=3, help="rounds, each with a seed")
    add("--steps", type=int, default=6000, help="of LeNet-300-100")
    add("--rounds", type=int, default=11, help="of steps in a process")
    add("--updates", type=int, default=5, help="of masks in a process")
    add("--only", nargs="+", choices=PEERS, default=list(PEERS))
    add("--works", nargs="+", choices=child.WORKS, default=list(child.WORKS))
    for library in ("rigl_torch", "jaxpruner", "itop"):
        add(f"--{library}", metavar="DIR", help="folder of its source")
    add(
        "--python_of",
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help=f"Python of a library: {', '.join(LIBRARIES)}",
    )
    add("--json", help="file for the figures")
    arguments = parser.parse_args(argv)
    for pair in arguments.python_of:
        if pair.partition("=")[0] not in LIBRARIES or "=" not in pair:
            parser.error(f"--python_of wants NAME=PATH. Received: {pair}")
    return arguments


def main():
    """Measure, print the table, write JSON."""
    arguments = parse()
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "mnist.npz")
        write_mnist(data)
        rows = measure(arguments, data)
    machine = (
        f"{os.cpu_count()} CPU cores, {platform.machine()}, Python "
        f"{platform.python_version()}, TF_ENABLE_ONEDNN_OPTS={one_dnn()}"
    )
    date = datetime.date.today().isoformat()
    peers = list(dict.fromkeys(row["peer"] for row in rows))  # with a work
    print(table(rows, peers))
    print(f"\n{notes(rows, peers)}\n\n{machine}, {date}.")
    report = {"date": date, "machine": machine, "rows": rows}
    report["settings"] = settings_of(arguments)
    common.write_json(arguments.json, report)


if __name__ == "__main__":
    main()
