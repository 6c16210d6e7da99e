"""Table of ResNet-50 on ImageNet, by the published rule."""

import dataclasses

from rigl_tf.accounting.tables import cells
from rigl_tf.accounting.tables import networks


@dataclasses.dataclass(frozen=True)
class _Setting:
    """A row of the tables.

    Attributes:
        method: name of the method, as published.
        distribution: "uniform", "ERK", "DSR", or None for dense networks.
        sparsity: overall sparsity S.
        multiplier: length of training in units of 32,000 steps.
        is_first_dense: whether the first convolution has no mask.
        start: initial mask, if not a fresh one.
    """

    method: str
    distribution: str | None
    sparsity: float
    multiplier: float = 1
    is_first_dense: bool = False
    start: str = ""

    @property
    def label(self):
        """Name of the row."""
        distribution = self.distribution or "–"
        if self.is_first_dense and self.distribution != "uniform":
            distribution += " with dense first layer"
        return (
            f"{self.method}{self.start}, {distribution}, {self.sparsity:g}, "
            f"{self.multiplier:g}x"
        )


def resnet50() -> cells.Table:
    """Count every row of the ResNet-50 tables in paper and README."""
    net = networks.resnet50()
    dense, n_bytes = net.totals()
    rows = {"Dense": networks.row(1.0, dense, n_bytes, dense)}
    for setting in _settings():
        flops, n_bytes, train = _count(net, setting)
        train *= setting.multiplier
        rows[setting.label] = networks.row(train, flops, n_bytes, dense)
    return cells.Table(
        "resnet50",
        "ResNet-50 on ImageNet by the published rule: training and inference "
        "as multiples of the dense network's. Uniform keeps the first "
        "convolution dense.",
        {
            "train": ".4f",
            "inference": ".4f",
            "training FLOPs": ".3e",
            "inference FLOPs": ".3e",
            "MB": ".3f",
        },
        rows,
    )


def _settings():
    """Yield the settings of the rows, in their order."""

    def uniform(method, sparsity, multiplier=1, start=""):
        return _Setting(method, "uniform", sparsity, multiplier, True, start)

    for sparsity in (0.8, 0.9, 0.95, 0.965):
        for method in ("Static", "SNIP", "SET", "RigL"):
            yield uniform(method, sparsity)
        yield uniform("RigL", sparsity, 5)
        for multiplier in (1, 5):
            yield _Setting("Small-Dense", None, sparsity, multiplier)
        for multiplier in (1, 1.5):
            yield uniform("Pruning", sparsity, multiplier)
        for method in ("Static", "SNFS", "RigL"):
            yield _Setting(method, "ERK", sparsity)
        yield _Setting("RigL", "ERK", sparsity, 5)
        if sparsity in networks.BIG_SPARSE:
            yield _Setting("DSR", "DSR", sparsity)
            yield uniform("Big-Sparse", sparsity)
            yield _Setting("Big-Sparse", "ERK", sparsity)
    for multiplier in (1, 5):
        yield _Setting("RigL", "ERK", 0.965, multiplier, True)
    for multiplier in (5, 10, 40, 100):
        yield _Setting("RigL", "ERK", 0.99, multiplier, True)
    for method in ("Static", "RigL"):
        yield uniform(method, 0.8, 2, " from a RigL mask")
    yield uniform("RigL", 0.8, 2)


def _count(net, setting):
    """Return FLOPs, bytes and training ratio of a setting."""
    dense, _ = net.totals()
    method, sparsity = setting.method, setting.sparsity
    if method == "Small-Dense":
        flops, n_bytes = net.totals(width=networks.SMALL_DENSE[sparsity])
        return flops, n_bytes, networks.training_ratio(method, flops, dense)
    distribution = networks.NAMES[setting.distribution]
    custom = {net.first: 0.0} if setting.is_first_dense else None

    def totals(target, width=1.0):
        if target == 0:
            return net.totals()
        return net.totals(net.sparsities(distribution, target, custom), width)

    width = networks.BIG_SPARSE[sparsity] if method == "Big-Sparse" else 1.0
    flops, n_bytes = totals(sparsity, width)
    if method == "Pruning":
        train = networks.pruning_ratio(lambda s: totals(s)[0], sparsity, dense)
    elif method == "Big-Sparse":
        train = networks.big_sparse_ratio(net, width, flops, dense)
    else:
        train = networks.training_ratio(method, flops, dense)
    return flops, n_bytes, train
