"""Train masked and truly sparse twins on MNIST, and compare their connections.

    python scripts/parity.py [--steps 1000] [--runs mlp,wide]

Prints a Markdown table: in how many mask updates both had the same connections,
and the largest difference of weights at the end, relative to the largest one.
Both sum in another order, so that rounding makes runs differ sooner or later.
"""

import argparse

import keras
import numpy as np

import rigl_tf
from rigl_tf import datasets
from rigl_tf import models
from rigl_tf import text_tables
from rigl_tf import updaters

INTERVAL = 100
BATCH = 100
SGD = keras.optimizers.SGD
OPTIMIZERS = {
    "SGD, momentum": lambda: SGD(0.1, momentum=0.9, nesterov=True),
    "Adam": lambda: keras.optimizers.Adam(1e-3),
    "AdamW": lambda: keras.optimizers.AdamW(1e-3, weight_decay=0.01),
    "SGD, clipping": lambda: SGD(0.1, momentum=0.9, global_clipnorm=1.0),
}
METHODS = ("rigl", "set", "static")
# Hidden units, sparsities, methods and optimizers of the runs.
RUNS = {
    "mlp": ((300, 100), (0.98, 0.9), METHODS, tuple(OPTIMIZERS)),
    "wide": ((4096, 4096), (0.98,), METHODS[:1], ("SGD, momentum",)),
}


class Watched(rigl_tf.SparseTrainer):
    """Keep the connections after every update."""

    def update(self, iterator):
        """Move connections, and remember where they are."""
        super().update(iterator)
        seen = self.__dict__.setdefault("seen", [])
        seen.append(
            [np.flatnonzero(k.mask.numpy()) for k in self.kernels]
            + [k.layer.positions() for k in self.sparse_kernels]
        )


def trained(compute, hidden, sparsity, method, optimizer, n_steps):
    """Return a trained twin."""
    data = datasets.mnist()
    keras.utils.set_random_seed(0)
    net = rigl_tf.sparsify(
        models.mlp(data.input_shape, data.n_classes, hidden=hidden),
        sparsity,
        "uniform",
        dense_layers=[f"fc{len(hidden) + 1}"],
        compute=compute,
    )
    options = {"update_interval": INTERVAL, "update_end_step": n_steps}
    trainer = Watched(
        net,
        updaters.get(method, **({} if method == "static" else options)),
        OPTIMIZERS[optimizer](),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    trainer.train(data.train(BATCH, seed=0), n_steps)
    return trainer


def compare(*arguments):
    """Return `(equal updates, updates, largest relative difference)`."""
    masked, sparse = (trained(c, *arguments) for c in ("masked", "sparse"))
    pairs = list(zip(getattr(masked, "seen", []), getattr(sparse, "seen", [])))
    n_equal = sum(
        all(np.array_equal(a, b) for a, b in zip(*pair)) for pair in pairs
    )
    differences = [
        np.abs(a - b).max() / np.abs(a).max()
        for a, b in zip(
            rigl_tf.strip(masked.model).get_weights(),
            rigl_tf.strip(sparse.model).get_weights(),
        )
    ]
    return n_equal, len(pairs), max(differences)


def main(argv=None):
    """Compare all twins, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--runs", default=",".join(RUNS))
    arguments = parser.parse_args(argv)
    rows = []
    for name in arguments.runs.split(","):
        hidden, sparsities, methods, optimizers = RUNS[name]
        for sparsity in sparsities:
            for method in methods:
                for optimizer in optimizers:
                    words = (hidden, sparsity, method, optimizer)
                    n_equal, n, difference = compare(*words, arguments.steps)
                    rows.append(
                        (
                            f"784-{'-'.join(map(str, hidden))}-10",
                            f"{sparsity:.0%}",
                            method,
                            optimizer,
                            f"{n_equal} of {n}" if n else "–",
                            f"{difference:.1e}",
                        )
                    )
                    print(rows[-1], flush=True)
    header = (
        "network",
        "sparsity",
        "method",
        "optimizer",
        "updates with equal connections",
        "difference of weights",
    )
    print("\n" + text_tables.markdown(header, rows))


if __name__ == "__main__":
    main()
