"""Tables of distributions, CIFAR networks, language model and LeNet."""

import collections

from rigl_tf import accounting
from rigl_tf import models
from rigl_tf.accounting import sizes
from rigl_tf.layers import masking
from rigl_tf.tables import cells
from rigl_tf.tables import counted


def erk():
    """Count the sparsities of ERK on ResNet-50, kernel by kernel."""
    net = counted.resnet50()
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


def dsr():
    """Count ResNet-50 with the sparsities that DSR found."""
    return _found_by_others("dsr", "DSR", (0.8, 0.9))


def str_levels():
    """Count ResNet-50 with the sparsities that STR found."""
    levels = (0.7955, 0.8127, 0.877, 0.9023, 0.9055, 0.948, 0.9503, 0.9515)
    levels += (0.9611, 0.9653, 0.9778, 0.9805, 0.9822, 0.9879, 0.9898, 0.991)
    return _found_by_others("str", "STR", levels)


def _found_by_others(name, title, levels):
    net = counted.resnet50()
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


def cifar():
    """Count the CIFAR networks as the reproducibility report does."""
    rows = {}
    for name, model in (
        ("WRN-22-2", models.wide_resnet((32, 32, 3), 10)),
        ("ResNet-50", models.resnet((32, 32, 3), 100, stem="cifar")),
    ):
        dense = _kernel_flops(accounting.count(model))
        rows[f"{name}, Dense"] = {
            "train": 1.0,
            "inference": 1.0,
            "training FLOPs": 3 * dense,
            "inference FLOPs": dense,
        }
        for sparsity in (0.5, 0.8, 0.9, 0.95):
            for title, distribution in (
                ("uniform", "uniform"),
                ("ERK", "erdos_renyi_kernel"),
            ):
                found = masking.target_sparsities(
                    model, sparsity, distribution, dense_layers=["conv1/kernel"]
                )
                flops = _kernel_flops(accounting.count(model, sparsities=found))
                for method in ("Static", "SET", "RigL"):
                    train = counted.training_ratio(method, flops, dense)
                    for times in (1, 2, 3) if method == "RigL" else (1, 2):
                        label = f"{name}, {method}, {title}, {sparsity:g}"
                        rows[f"{label}, {times}x"] = {
                            "train": times * train,
                            "inference": flops / dense,
                            "training FLOPs": 3 * times * train * dense,
                            "inference FLOPs": flops,
                        }
    return cells.Table(
        "cifar",
        "WRN-22-2 on CIFAR-10 and ResNet-50 on CIFAR-100, per example: two "
        "FLOPs per active weight and position, first convolution dense. Left "
        "out: what only training can tell (global pruning, lottery tickets, "
        "redistribution).",
        {
            "train": ".4f",
            "inference": ".4f",
            "training FLOPs": ".3e",
            "inference FLOPs": ".3e",
        },
        rows,
    )


def _kernel_flops(count):
    kernels = [k for layer in count.layers for k in layer.kernels]
    return sum(2 * k.n_active * k.uses for k in kernels)


def gru():
    """Count the character language model; no counts of it were published."""
    model = models.char_gru((512,))
    dense = accounting.count(model)
    rows = {"Dense": _per_character("Dense", dense, dense)}
    for title, distribution in (
        ("uniform", "uniform"),
        ("ERK", "erdos_renyi_kernel"),
    ):
        found = masking.target_sparsities(model, 0.75, distribution)
        sparse = accounting.count(model, sparsities=found)
        for method in ("Static", "SET", "RigL", "SNFS"):
            rows[f"{method}, {title}, 0.75"] = _per_character(
                method, sparse, dense
            )
    return cells.Table(
        "gru",
        "The character GRU on sequences of 512, exact counts per character; "
        "all kernels but the embedding are sparse.",
        {
            "train": ".4f",
            "inference": ".4f",
            "FLOPs": ",.0f",
            "active parameters": ",d",
            "MB": ".3f",
        },
        rows,
    )


def _per_character(method, sparse, dense):
    return {
        "train": counted.training_ratio(method, sparse.flops, dense.flops),
        "inference": sparse.flops / dense.flops,
        "FLOPs": sparse.flops / 512,
        "active parameters": sparse.active,
        "MB": sparse.bytes / 1e6,
    }


# Method: units that are left of 784-300-100, and sparsity of what is left.
_LENET = {
    "SBP": ((245, 160, 55), 0.0),
    "L0": ((266, 88, 33), 0.0),
    "VIB": ((97, 71, 33), 0.0),
    "RigL": ((408, 100, 69), 0.87),
    "RigL+": ((375, 62, 51), 0.886),
}


def lenet():
    """Count the compressed LeNet-300-100 networks of the paper's table 2."""
    rows = {"Dense": _lenet_row((784, 300, 100), 0.0)}
    for method, (units, sparsity) in _LENET.items():
        label = f"{method}, {'-'.join(map(str, units))}, {sparsity:g}"
        rows[label] = _lenet_row(units, sparsity)
    return cells.Table(
        "lenet",
        "LeNet-300-100 on MNIST without dead units: two FLOPs per active "
        "weight; bit mask, active weights and biases. (The costs of training "
        "in that table do not follow from what the paper tells.)",
        {"KFLOPs": ".2f", "bytes": ",.0f"},
        rows,
    )


def _lenet_row(units, sparsity):
    size = sum(a * b for a, b in zip(units, (*units[1:], 10)))
    n_active = size * (1 - sparsity)
    n_biases = sum((*units[1:], 10))
    return {
        "KFLOPs": 2 * n_active / 1e3,
        "bytes": sizes.bitmask_bytes(size, n_active) + 4 * n_biases,
    }
