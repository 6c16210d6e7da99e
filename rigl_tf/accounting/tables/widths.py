"""Table of the widths of Small-Dense and Big-Sparse networks."""

from rigl_tf.accounting import widths
from rigl_tf.accounting.tables import cells
from rigl_tf.accounting.tables import networks


def find_widths() -> cells.Table:
    """Find the widths of Small-Dense and Big-Sparse networks."""
    rows = {}
    for name, net, small, big in (
        (
            "ResNet-50",
            networks.resnet50(),
            networks.SMALL_DENSE,
            networks.BIG_SPARSE,
        ),
        (
            "MobileNet-v1",
            networks.mobilenet_v1(),
            networks.SMALL_MOBILENET,
            networks.BIG_MOBILENET,
        ),
    ):
        for sparsity in small:
            first = {net.first: 0.0}
            found = net.sparsities(networks.NAMES["ERK"], sparsity, first)
            label = f"{name}, Small-Dense, {sparsity:g}"
            rows[label] = _width(
                label,
                lambda width: net.totals(width=width)[1],
                net.totals(found)[1],
                at_most=False,
            )
        for sparsity in big:
            custom = {net.first: 0.0} if name == "MobileNet-v1" else None
            found = net.sparsities(networks.NAMES["ERK"], sparsity, custom)
            label = f"{name}, Big-Sparse, {sparsity:g}"
            rows[label] = _width(
                label,
                lambda width, found=found: net.totals(found, width)[1],
                net.totals()[1],
                at_most=True,
            )
    return cells.Table(
        "widths",
        "Widths of the narrowest dense network that is at least as large as "
        "the ERK network with a dense first layer (Small-Dense), and of the "
        "widest ERK network that is at most as large as the dense one "
        "(Big-Sparse), on a grid of the given step; sizes by the published "
        "rule.",
        {"width": ".3f", "step": "g", "MB": ".3f", "budget, MB": ".3f"},
        rows,
    )


# Steps to which the authors rounded widths, if coarser than 0.001.
_STEPS = {
    "ResNet-50, Small-Dense, 0.8": 0.005,
    "ResNet-50, Big-Sparse, 0.8": 0.1,
    "ResNet-50, Big-Sparse, 0.9": 0.1,
    "MobileNet-v1, Small-Dense, 0.75": 0.01,
    "MobileNet-v1, Big-Sparse, 0.75": 0.01,
    "MobileNet-v1, Big-Sparse, 0.85": 0.01,
    "MobileNet-v1, Big-Sparse, 0.9": 0.1,
    "MobileNet-v1, Big-Sparse, 0.95": 0.01,
}


def _width(label, measure, budget, at_most):
    step = _STEPS.get(label, 0.001)
    width = widths.find_width(
        measure, budget, step=step, at_most=at_most, widest=8
    )
    return {
        "width": width,
        "step": step,
        "MB": measure(width) / 1e6,
        "budget, MB": budget / 1e6,
    }
