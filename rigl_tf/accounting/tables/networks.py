"""The networks of the tables, as the published rule counts them."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import functools
from typing import Any

import keras

from rigl_tf import models
from rigl_tf import updaters
from rigl_tf.accounting import micronet
from rigl_tf.masks import distributions

IMAGE = (224, 224, 3)
DELTA_T = 100
# Names of distributions in the tables -> our names.
NAMES = {
    "uniform": "uniform",
    "ERK": "erdos_renyi_kernel",
    "DSR": "dsr_resnet50",
}
# Published widths of networks, by sparsity.
SMALL_DENSE = {0.8: 0.465, 0.9: 0.34, 0.95: 0.26, 0.965: 0.231}
BIG_SPARSE = {0.8: 2.1, 0.9: 2.8}
SMALL_MOBILENET = {0.75: 0.47, 0.85: 0.353, 0.9: 0.285, 0.95: 0.204}
BIG_MOBILENET = {0.75: 1.98, 0.85: 2.52, 0.9: 3.0, 0.95: 3.98}
_EXAMPLES = 4096 * 32_000  # batches of 4,096, 32,000 steps


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as a list of layers.

    Attributes:
        shapes: its layers.
        first: path of its first kernel.
        last: path of its last kernel.
    """

    shapes: tuple[micronet.LayerShape, ...]
    first: str
    last: str

    def totals(
        self, sparsities: Mapping[str, float] | None = None, width: float = 1.0
    ) -> tuple[float, float]:
        """Return `(flops, bytes)` at a width.

        Args:
            sparsities: optional dictionary from kernel path to sparsity, those
                at width 1, as in the original code.
            width: width multiplier.
        """
        wide = micronet.widened(self.shapes, width, self.first, self.last)
        return micronet.totals(wide, sparsities)

    def sparsities(
        self,
        distribution: str,
        sparsity: float,
        custom: Mapping[str, float] | None = None,
    ) -> dict[str, float]:
        """Return the sparsity of each kernel.

        Zeros are rounded up, as they were for the published sizes.

        Args:
            distribution: name of the distribution.
            sparsity: overall fraction of zeros.
            custom: optional fixed sparsities, see `distributions.uniform`.
        """
        shapes = {shape.path: shape.kernel for shape in self.shapes}
        options: dict[str, Any] = {}
        if distribution.startswith("erdos"):
            options["rounding"] = "ceil"
        function = distributions.get(distribution)
        return function(shapes, sparsity, custom=custom, **options)

    def achieved(
        self, sparsities: Mapping[str, float], width: float = 1.0
    ) -> float:
        """Return the overall sparsity at a width, with all kernels counted.

        See `totals` for the arguments.
        """
        zeros = total = 0
        wide = micronet.widened(self.shapes, width, self.first, self.last)
        for shape in wide:
            total += shape.size
            zeros += int(shape.size * sparsities.get(shape.path, 0.0))
        return zeros / total


@functools.cache
def resnet50() -> Network:
    """Return ResNet-50 as published: blocks with "same" padding."""
    model = models.resnet(IMAGE, 1000, symmetric_padding=False)
    shapes = micronet.layer_shapes(model)
    return Network(tuple(shapes), "conv1/kernel", "fc/kernel")


@functools.cache
def mobilenet_v1() -> Network:
    """Return MobileNet-v1 as published.

    The notebook counted Keras' MobileNet of 2019: depthwise convolutions as
    convolutions with one output channel, and the first one at 113x113.
    """
    shapes = micronet.layer_shapes(keras.applications.MobileNet(weights=None))
    first = dataclasses.replace(shapes[0], input_size=225)
    shapes = [
        dataclasses.replace(s, kind="Conv2D") for s in [first, *shapes[1:]]
    ]
    return Network(tuple(shapes), "conv1/kernel", "conv_preds/kernel")


@functools.cache
def mobilenet_v2() -> Network:
    """Return MobileNet-v2 of this package."""
    shapes = micronet.layer_shapes(models.mobilenet_v2(IMAGE, 1000))
    return Network(tuple(shapes), "conv1/kernel", "fc/kernel")


def training_ratio(method: str, sparse: float, dense: float) -> float:
    """Return the training FLOPs of a method divided by those of dense training.

    Args:
        method: name of the method in the tables.
        sparse: FLOPs of the sparse network's forward pass.
        dense: FLOPs of the dense network's forward pass.
    """
    updater = {
        "Dense": None,
        # As Static: three forward passes of the small network.
        "Small-Dense": updaters.Static(),
        "Static": updaters.Static(),
        "DSR": updaters.Static(),
        "SNIP": updaters.SNIP(),
        "SET": updaters.SET(update_end_step=25_000),
        "RigL": updaters.RigL(update_interval=DELTA_T, update_end_step=25_000),
        "SNFS": updaters.SNFS(update_end_step=25_000),
    }[method]
    if updater is None:
        return 1.0
    return updater.training_flops(sparse, dense) / (3 * dense)


def big_sparse_ratio(
    net: Network, width: float, sparse: float, dense: float
) -> float:
    """Return the training FLOPs of RigL on a wide network, divided by `dense`.

    Args:
        net: the network.
        width: width multiplier.
        sparse: FLOPs of the sparse wide network's forward pass.
        dense: FLOPs of the dense network's forward pass at width 1.
    """
    wide, _ = net.totals(width=width)
    return training_ratio("RigL", sparse, wide) * wide / dense


def pruning_ratio(
    flops: Callable[[float], float], sparsity: float, dense: float
) -> float:
    """Return the relative training FLOPs of pruning.

    The mean over a run of 32,000 steps that prunes from step 10,000 to 25,000,
    divided by `dense`.

    Args:
        flops: function from an overall sparsity to FLOPs.
        sparsity: final sparsity.
        dense: FLOPs of the dense network.
    """
    total: float = 0
    steps = range(0, 32_001, 1000)
    for step in steps:
        progress = min(max((step - 10_000) / 15_000, 0.0), 1.0)
        total += flops(sparsity * (1 - (1 - progress) ** 3))
    return total / len(steps) / dense


def row(
    train: float, flops: float, n_bytes: float, dense: float
) -> dict[str, float]:
    """Return a row of a table: costs, and their ratios to the dense network.

    Args:
        train: training FLOPs divided by those of dense training.
        flops: FLOPs of the forward pass.
        n_bytes: size of the network in bytes.
        dense: FLOPs of the dense network's forward pass.
    """
    return {
        "train": train,
        "inference": flops / dense,
        "training FLOPs": 3 * train * dense * _EXAMPLES,
        "inference FLOPs": flops,
        "MFLOPs": flops / 1e6,
        "MB": n_bytes / 1e6,
    }
