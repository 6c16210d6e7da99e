"""Measure truly sparse layers against dense ones, in one interleaved run.

    python scripts/benchmarks/sparse.py [--rounds 15] [--threads 2]

Layers: forward and both gradients, batch 128; ratios to the best dense product
of TensorFlow, with XLA or without. Rivals: SciPy (forward and input gradient
alone), PyTorch's CSR and SparseLab, if torch and sparselab are installed.
Steps: whole training steps of 784-4096-4096-10. Growth: a search of the dense
gradient against the time of its products alone. Memory: peaks of processes of
their own.
"""

import argparse
import datetime
import json
import pathlib
import platform
import re
import subprocess
import sys

import common
import keras
import numpy as np
from scipy import sparse as scipy_sparse
import tensorflow as tf

import rigl_tf
from rigl_tf import models
from rigl_tf import text_tables
from rigl_tf.sparse import blocks
from rigl_tf.sparse import growth
from rigl_tf.sparse import products
from rigl_tf.sparse import structures

BATCH = 128
DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)


def scalar(*tensors):
    """Return one number that depends on all tensors."""
    return tf.add_n([tf.reshape(t, [-1])[0] for t in tensors])


def product(multiply, x, dy, weights, jit=False):
    """Return a function that multiplies and takes both gradients."""

    @tf.function(autograph=False, jit_compile=jit)
    def compute():
        with tf.GradientTape() as tape:
            tape.watch([x, weights])
            y = multiply(x, weights)
        return scalar(y, *tape.gradient(y, [x, weights], dy))

    return lambda: float(compute())


def torch_csr(matrix, x, dy):
    """Return the products by PyTorch's CSR; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(
        tf.config.threading.get_intra_op_parallelism_threads()
    )
    weights = torch.sparse_csr_tensor(
        *(
            torch.tensor(a)
            for a in (matrix.indptr, matrix.indices, matrix.data)
        ),
        size=matrix.shape,
    ).requires_grad_()
    inputs = torch.tensor(x.numpy().T.copy(), requires_grad=True)
    upstream = torch.tensor(dy.numpy().T.copy())

    def run():
        (weights @ inputs).backward(upstream)
        inputs.grad = weights.grad = None

    return run


def sparselab(side, density, x, dy):
    """Return the products by SparseLab; None without it."""
    try:
        import sparselab as rival
        import torch
    except ImportError:
        return None
    layer = rival.SparseLinear(side, side, bias=False, sparsity=1 - density)
    inputs = torch.tensor(x.numpy(), requires_grad=True)
    upstream = torch.tensor(dy.numpy())

    def run():
        layer(inputs).backward(upstream)
        inputs.grad = None
        layer.zero_grad(set_to_none=True)

    return run


def layer_row(side, density, n_rounds):
    """Return milliseconds of one layer, by name."""
    generator = np.random.default_rng(0)
    size = side * side
    flat = np.sort(generator.choice(size, int(density * size), replace=False))
    where = structures.structure_of(flat, (side, side))
    x, dy = (tf.random.stateless_normal([BATCH, side], [0, i]) for i in (1, 2))
    kernel = tf.random.stateless_normal([side, side], [0, 3])
    values = tf.random.stateless_normal([len(flat)], [0, 4])
    matrix = scipy_sparse.csr_matrix(
        (values.numpy(), where.columns.numpy(), where.row_starts.numpy()),
        shape=(side, side),
    )
    turned = scipy_sparse.csr_matrix(matrix.T)
    xt, dyt = x.numpy().T.copy(), dy.numpy().T.copy()
    candidates = {
        "dense": product(tf.matmul, x, dy, kernel),
        "dense, XLA": product(tf.matmul, x, dy, kernel, jit=True),
        "sparse": product(
            lambda x, w: products.matmul(x, w, where), x, dy, values
        ),
        **{
            f"blocks of {block}": block_product(side, density, block, x, dy)
            for block in (16, 32, 64)
        },
        "SciPy": lambda: (turned @ xt, matrix @ dyt),
        "torch CSR": torch_csr(turned, x, dy),
        "SparseLab": sparselab(side, density, x, dy),
    }
    candidates = {name: run for name, run in candidates.items() if run}
    return common.measure(candidates, n_rounds)


def block_product(side, density, block, x, dy):
    """Return a function of the products of a kernel of blocks, with XLA."""
    grid = side // block
    n = max(1, int(density * grid * grid))
    flat = np.random.default_rng(0).choice(grid * grid, n, replace=False)
    where = structures.structure_of(np.sort(flat), (grid, grid))
    values = tf.random.stateless_normal([n, block, block], [0, 4])
    return product(
        lambda x, w: blocks.matmul(x, w, where), x, dy, values, jit=True
    )


def layers(n_rounds):
    """Return rows of the table of layers."""
    rows = []
    for side in (1024, 4096):
        for density in DENSITIES:
            times = layer_row(side, density, n_rounds)
            best = min(times["dense"], times["dense, XLA"])
            rows.append({"side": side, "density": density, **times})
            rows[-1]["ratio"] = best / times["sparse"]
    return rows


def wide():
    """Build the network of the steps."""
    return models.mlp((28, 28, 1), 10, hidden=(4096, 4096))


def step(compute, jit=False):
    """Return a function that makes training steps."""
    net, updater = wide(), None
    if compute:
        net = rigl_tf.sparsify(net, 0.98, dense_layers=["fc3"], compute=compute)
        updater = common.updater()
    trainer = rigl_tf.SparseTrainer(
        net, updater, common.optimizer(), common.LOSS, jit_compile=jit
    )
    iterator = common.batches(net, BATCH)
    trainer.reset_totals(1)
    return lambda: trainer.run_steps(iterator, 2)


def steps(n_rounds):
    """Return milliseconds of steps of the wide network."""
    candidates = {
        "dense": step(None),
        "dense, XLA": step(None, jit=True),
        "masked": step("masked"),
        "masked, XLA": step("masked", jit=True),
        "sparse": step("sparse"),
    }
    times = common.measure(candidates, n_rounds)
    return {name: ms / 2 for name, ms in times.items()}


def growth_row(side, density):
    """Return seconds of an exact search, and of its products alone."""
    generator = np.random.default_rng(0)
    n = int(density * side * side)
    kept = tf.constant(np.unique(generator.integers(0, side * side, n)))
    x, dy = (tf.random.stateless_normal([BATCH, side], [0, i]) for i in (1, 2))
    k, shape = tf.constant(n // 3, tf.int64), (side, side)
    rows, columns = growth.tile_shape(shape)
    tiles = growth.of_products(x, dy)

    @tf.function(autograph=False)
    def search():
        return tf.reduce_sum(growth.largest(tiles, shape, kept, k)[0])

    @tf.function(autograph=False)
    def multiply():
        def add(index, total):
            row = index // (side // columns) * rows
            column = index % (side // columns) * columns
            tile = tf.matmul(
                x[:, row : row + rows],
                dy[:, column : column + columns],
                transpose_a=True,
            )
            return index + 1, total + tile[0, 0]

        n_tiles = (side // rows) * (side // columns)
        return tf.while_loop(
            lambda index, _: index < n_tiles,
            add,
            [0, 0.0],
            parallel_iterations=1,
        )[1]

    before = peak()
    times = common.measure(
        {"search": lambda: int(search()), "product": lambda: float(multiply())},
        3,
    )
    return {
        "side": side,
        "search": times["search"] / 1000,
        "product": times["product"] / 1000,
        "ratio": times["search"] / times["product"],
        "mb": peak() - before,
    }


def peak():
    """Return the largest memory of this process so far, in MB."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def memory(compute):
    """Return what training the wide network adds to memory, in MB."""
    tf.linalg.matmul(tf.ones([64, 64]), tf.ones([64, 64]))
    rigl_tf.sparse.available()
    sparsify = rigl_tf.sparsify  # importing all takes memory, too
    before = peak()
    if compute == "sparse":  # never allocate a dense kernel
        net = sparsify(wide, 0.98, dense_layers=["fc3"], compute="sparse")
    else:
        net = wide()
        if compute == "masked":
            net = sparsify(net, 0.98, dense_layers=["fc3"])
    updater = (
        None
        if compute == "dense"
        else rigl_tf.updaters.RigL(update_interval=3, update_end_step=8)
    )
    trainer = rigl_tf.SparseTrainer(
        net, updater, common.optimizer(), common.LOSS
    )
    trainer.train(common.batches(net, BATCH), 8)
    return peak() - before


def alone(name):
    """Return what a process of its own measures; see `CHILDREN`."""
    command = [sys.executable, __file__, *sys.argv[1:], f"--alone={name}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


CHILDREN = {
    "dense": lambda: memory("dense"),
    "masked": lambda: memory("masked"),
    "sparse": lambda: memory("sparse"),
    "growth": lambda: growth_row(16384, 0.001),
}


def report(found):
    """Return all tables as Markdown."""
    names = [n for n in found["layers"][0] if n not in ("side", "density")]
    layer_table = text_tables.markdown(
        [
            "layer",
            "density",
            *(f"{n}, ms" for n in names[:-1]),
            "dense / sparse",
        ],
        [
            [
                f"{row['side']}²",
                f"{100 * row['density']:g} %",
                *(f"{row[n]:.2f}" for n in names[:-1]),
                f"{row['ratio']:.1f}",
            ]
            for row in found["layers"]
        ],
    )
    times, sizes = found["steps"], found["memory"]
    step_table = text_tables.markdown(
        ["784-4096-4096-10", "ms", "against sparse", "memory, MB"],
        [
            [
                name,
                f"{ms:.1f}",
                f"{ms / times['sparse']:.1f}",
                f"{sizes[name]:.0f}" if name in sizes else "–",
            ]
            for name, ms in times.items()
        ],
    )
    row = found["growth"]
    growing = (
        f"Search of {row['side']}² scores: {row['search']:.2f} s, "
        f"{row['ratio']:.2f} of its products alone; {row['mb']:.0f} MB more."
    )
    return "\n\n".join([layer_table, step_table, growing, found["machine"]])


def machine():
    """Say where and when this ran."""
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return (
        f"{threads} threads, {platform.machine()}, "
        f"{rigl_tf.sparse.available().instructions}, {common.software()}, "
        f"{datetime.date.today()}."
    )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="also write the figures here")
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    keras.utils.set_random_seed(0)
    if arguments.alone:
        print(json.dumps(CHILDREN[arguments.alone]()))
        return
    found = {
        "layers": layers(arguments.rounds),
        "steps": steps(arguments.rounds),
        "growth": alone("growth"),
        "memory": {name: alone(name) for name in ("dense", "masked", "sparse")},
        "machine": machine(),
    }
    print(report(found))
    common.write_json(arguments.json, found)


if __name__ == "__main__":
    main()
