"""Tables of ResNet-50 with the sparsities that DSR and STR found."""

from rigl_tf.accounting.tables import cells
from rigl_tf.accounting.tables import networks


def dsr() -> cells.Table:
    """Count ResNet-50 with the sparsities that DSR found."""
    return _found_by_others("dsr", "DSR", (0.8, 0.9))


def str_levels() -> cells.Table:
    """Count ResNet-50 with the sparsities that STR found."""
    levels: tuple[float, ...]
    levels = (0.7955, 0.8127, 0.877, 0.9023, 0.9055, 0.948, 0.9503, 0.9515)
    levels += (0.9611, 0.9653, 0.9778, 0.9805, 0.9822, 0.9879, 0.9898, 0.991)
    return _found_by_others("str", "STR", levels)


def _found_by_others(name, title, levels):
    net = networks.resnet50()
    dense, _ = net.totals()
    rows = {}
    for level in levels:
        found = net.sparsities(f"{name}_resnet50", level)
        flops, n_bytes = net.totals(found)
        rows[f"{level:g}"] = {
            "sparsity, %": 100 * net.achieved(found),
            "inference": flops / dense,
            "MFLOPs": flops / 1e6,
            "MB": n_bytes / 1e6,
        }
    form = {"sparsity, %": ".3f", "inference": ".4f", "MFLOPs": ".3f"}
    return cells.Table(
        name,
        f"ResNet-50 with the sparsities that {title} found, by the published "
        "rule.",
        {**form, "MB": ".3f"},
        rows,
    )
