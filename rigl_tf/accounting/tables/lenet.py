"""Table of compressed LeNet-300-100 networks."""

from rigl_tf.accounting import encodings
from rigl_tf.accounting.tables import cells

# Method: remaining units of 784-300-100, and sparsity of their weights.
_LENET = {
    "SBP": ((245, 160, 55), 0.0),
    "L0": ((266, 88, 33), 0.0),
    "VIB": ((97, 71, 33), 0.0),
    "RigL": ((408, 100, 69), 0.87),
    "RigL+": ((375, 62, 51), 0.886),
}


def lenet() -> cells.Table:
    """Count the compressed LeNet-300-100 networks of the paper's table 2."""
    rows = {"Dense": _lenet_row((784, 300, 100), 0.0)}
    for method, (units, sparsity) in _LENET.items():
        label = f"{method}, {'-'.join(map(str, units))}, {sparsity:g}"
        rows[label] = _lenet_row(units, sparsity)
    return cells.Table(
        "lenet",
        "LeNet-300-100 on MNIST without dead units: two FLOPs per active "
        "weight; bit mask, active weights and biases. (The costs of training "
        "in that table cannot be derived from the paper.)",
        {"KFLOPs": ".2f", "bytes": ",.0f"},
        rows,
    )


def _lenet_row(units, sparsity):
    size = sum(a * b for a, b in zip(units, (*units[1:], 10)))
    n_active = size * (1 - sparsity)
    n_biases = sum((*units[1:], 10))
    return {
        "KFLOPs": 2 * n_active / 1e3,
        "bytes": encodings.bitmask_bytes(size, n_active) + 4 * n_biases,
    }
