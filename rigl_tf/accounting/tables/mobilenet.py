"""Tables of MobileNets on ImageNet, by the published rule."""

from rigl_tf.accounting.tables import cells
from rigl_tf.accounting.tables import networks


def mobilenet_v1() -> cells.Table:
    """Count the rows for MobileNet-v1 in notebook, paper and README."""
    net = networks.mobilenet_v1()
    dense, n_bytes = net.totals()
    rows = {
        "Dense": {**networks.row(1.0, dense, n_bytes, dense), "sparsity": 0.0}
    }

    def add(label, distribution, sparsity, custom=None, width=1.0):
        found = {}
        if distribution is not None:
            found = net.sparsities(
                networks.NAMES[distribution], sparsity, custom
            )
        flops, n_bytes = net.totals(found, width)
        method = label.partition(",")[0]
        if method == "Big-Sparse":
            train = networks.big_sparse_ratio(net, width, flops, dense)
        else:
            train = networks.training_ratio(method, flops, dense)
        rows[label] = {
            **networks.row(train, flops, n_bytes, dense),
            "sparsity": net.achieved(found, width),
        }
        for multiplier in (10, 50, 100) if sparsity == 0.9 else ():
            rows[label][f"train {multiplier}x"] = multiplier * train

    depthwise = {"conv_dw_.*": 0.0}
    first = {net.first: 0.0}
    wide_uniform = {**first, net.last: 0.8}
    for s in networks.SMALL_MOBILENET:
        add(f"RigL, uniform, {s:g}", "uniform", s, {**depthwise, **first})
        add(f"RigL, ERK, {s:g}", "ERK", s, depthwise)
        add(f"RigL, uniform with sparse depthwise, {s:g}", "uniform", s, first)
        add(f"RigL, ERK with sparse depthwise, {s:g}", "ERK", s, first)
        add(
            f"Small-Dense, –, {s:g}", None, s, width=networks.SMALL_MOBILENET[s]
        )
        width = networks.BIG_MOBILENET[s]
        add(f"Big-Sparse, uniform, {s:g}", "uniform", s, wide_uniform, width)
        add(f"Big-Sparse, ERK, {s:g}", "ERK", s, first, width)
    return cells.Table(
        "mobilenet_v1",
        "MobileNet-v1 on ImageNet by the published rule, as multiples of the "
        "dense network. The first convolution is dense in uniform and "
        "Big-Sparse networks. Depthwise convolutions are dense unless stated "
        "otherwise, but sparse in Big-Sparse networks.",
        {
            "MFLOPs": ".3f",
            "MB": ".3f",
            "sparsity": ".4f",
            "inference": ".4f",
            "inference FLOPs": ".3e",
            "training FLOPs": ".3e",
            "train 10x": ".3f",
            "train 50x": ".3f",
            "train 100x": ".3f",
        },
        rows,
    )


def mobilenet_v2() -> cells.Table:
    """Count MobileNet-v2, whose results were only published as a figure."""
    net = networks.mobilenet_v2()
    dense, n_bytes = net.totals()
    rows = {
        "Dense": {**networks.row(1.0, dense, n_bytes, dense), "sparsity": 0.0}
    }
    custom = {net.first: 0.0, "block.*_depthwise/kernel": 0.0}
    for sparsity in networks.SMALL_MOBILENET:
        for name in ("uniform", "ERK"):
            found = net.sparsities(networks.NAMES[name], sparsity, custom)
            flops, n_bytes = net.totals(found)
            train = networks.training_ratio("RigL", flops, dense)
            rows[f"RigL, {name}, {sparsity:g}"] = {
                **networks.row(train, flops, n_bytes, dense),
                "sparsity": net.achieved(found),
            }
    return cells.Table(
        "mobilenet_v2",
        "MobileNet-v2 on ImageNet by the published rule; first and depthwise "
        "convolutions dense. The results were only published as a figure.",
        {
            "train": ".4f",
            "inference": ".4f",
            "MFLOPs": ".3f",
            "MB": ".3f",
            "sparsity": ".4f",
        },
        rows,
    )
