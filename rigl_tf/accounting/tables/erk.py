"""Table of the ERK sparsities of ResNet-50."""

import collections

from rigl_tf.accounting.tables import cells
from rigl_tf.accounting.tables import networks


def erk() -> cells.Table:
    """Return the ERK sparsity of each kernel of ResNet-50."""
    net = networks.resnet50()
    columns = {f"{s:g}": s for s in (0.8, 0.9, 0.95, 0.965)}
    columns["0.99, first layer dense"] = 0.99
    found = {
        name: net.sparsities(
            "erdos_renyi_kernel", s, {net.first: 0.0} if s == 0.99 else None
        )
        for name, s in columns.items()
    }
    times = collections.Counter(shape.kernel for shape in net.shapes)
    rows = {}
    for shape in net.shapes:
        label = f"{'x'.join(map(str, shape.kernel))} ({times[shape.kernel]})"
        rows[label] = {name: s[shape.path] for name, s in found.items()}
    return cells.Table(
        "erk",
        "Sparsity of each kernel of ResNet-50 under ERK, by shape (and how "
        "often it occurs).",
        dict.fromkeys(columns, ".4f"),
        rows,
    )
