"""Say how sparse layers are computed on this machine, and how fast."""

import statistics
import time

import numpy as np
import tensorflow as tf

from rigl_tf.sparse import backends
from rigl_tf.sparse import products
from rigl_tf.sparse import structures

_SIDE, _BATCH, _ROUNDS = 1024, 128, 15
_DENSITIES = (0.1, 0.02)


def examine() -> list[str]:
    """Return lines: the backend, why it was taken, and its times.

    A layer of 1024 x 1024 with a batch of 128 is timed in turn with the dense
    product, forward and both gradients.
    """
    found = backends.available()
    lines = [f"sparse layers: {found}"]
    if found.name != "numpy":
        lines.append(f"instruction sets: {', '.join(found.kernels.sets)}")
    for density in _DENSITIES:
        dense, sparse = _seconds(density)
        lines.append(
            f"{_SIDE} x {_SIDE}, density {density}: dense {1000 * dense:.2f} "
            f"ms, sparse {1000 * sparse:.2f} ms, {dense / sparse:.1f} times"
        )
    return lines


def _seconds(density):
    """Return median seconds of the dense and of the sparse products."""
    generator = np.random.default_rng(0)
    size = _SIDE * _SIDE
    flat = np.sort(generator.choice(size, int(density * size), replace=False))
    where = structures.structure_of(flat, (_SIDE, _SIDE))
    weights = {
        "dense": tf.random.stateless_normal([_SIDE, _SIDE], [0, 1]),
        "sparse": tf.random.stateless_normal([len(flat)], [0, 2]),
    }
    multiply = {
        "dense": tf.matmul,
        "sparse": lambda x, values: products.matmul(x, values, where),
    }
    x, dy = (
        tf.random.stateless_normal([_BATCH, _SIDE], [1, index])
        for index in range(2)
    )

    def step(name):
        @tf.function(autograph=False)
        def compute(w):
            with tf.GradientTape() as tape:
                tape.watch([x, w])
                y = multiply[name](x, w)
            dx, dw = tape.gradient(y, [x, w], dy)
            ends = (tf.reshape(t, [-1])[0] for t in (y, dx, dw))
            return tf.add_n(list(ends))

        return lambda: float(compute(weights[name]))

    steps = {name: step(name) for name in weights}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(_ROUNDS + 2):
        for name, run in steps.items():
            began = time.perf_counter()
            run()
            if round_ >= 2:  # the first trace and allocate
                times[name].append(time.perf_counter() - began)
    return [statistics.median(times[name]) for name in ("dense", "sparse")]
