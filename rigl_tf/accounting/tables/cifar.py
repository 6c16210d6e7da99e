"""Table of the CIFAR networks of the reproducibility report."""

from rigl_tf import accounting
from rigl_tf import models
from rigl_tf.accounting.tables import cells
from rigl_tf.accounting.tables import networks
from rigl_tf.layers import masking


def cifar() -> cells.Table:
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
                    train = networks.training_ratio(method, flops, dense)
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
        "FLOPs per active weight and position, first convolution dense. "
        "Methods whose costs depend on training are omitted (global pruning, "
        "lottery tickets, redistribution).",
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
