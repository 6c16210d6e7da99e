"""Networks by the published counting rule, as the tables count them."""

import dataclasses
import functools

import keras

from rigl_tf import models
from rigl_tf import updaters
from rigl_tf.accounting import micronet
from rigl_tf.masks import distributions

IMAGE = (224, 224, 3)
DELTA_T = 100
# Distributions of the tables -> ours.
NAMES = {
    "uniform": "uniform",
    "ERK": "erdos_renyi_kernel",
    "DSR": "dsr_resnet50",
}
# Published widths of networks by sparsity.
SMALL_DENSE = {0.8: 0.465, 0.9: 0.34, 0.95: 0.26, 0.965: 0.231}
BIG_SPARSE = {0.8: 2.1, 0.9: 2.8}
SMALL_MOBILENET = {0.75: 0.47, 0.85: 0.353, 0.9: 0.285, 0.95: 0.204}
BIG_MOBILENET = {0.75: 1.98, 0.85: 2.52, 0.9: 3.0, 0.95: 3.98}
_EXAMPLES = 4096 * 32_000  # batches of 4,096, 32,000 steps


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as a list of layers.

    Attributes:
        shapes: list of `micronet.LayerShape`.
        first: path of its first kernel.
        last: path of its last kernel.
    """

    shapes: tuple
    first: str
    last: str

    def totals(self, sparsities=None, width=1.0):
        """Return `(flops, bytes)` at a width.

        Sparsities are those of width 1, as in the original code.
        """
        wide = micronet.widened(self.shapes, width, self.first, self.last)
        return micronet.totals(wide, sparsities)

    def sparsities(self, distribution, sparsity, custom=None):
        """Return the sparsity of each kernel.

        Published sizes were made when zeros were rounded up.
        """
        shapes = {shape.path: shape.kernel for shape in self.shapes}
        options = {}
        if distribution.startswith("erdos"):
            options["rounding"] = "ceil"
        function = distributions.get(distribution)
        return function(shapes, sparsity, custom=custom, **options)

    def achieved(self, sparsities, width=1.0):
        """Return the overall sparsity at a width, all kernels counted."""
        zeros = total = 0
        wide = micronet.widened(self.shapes, width, self.first, self.last)
        for shape in wide:
            total += shape.size
            zeros += int(shape.size * sparsities.get(shape.path, 0.0))
        return zeros / total


@functools.cache
def resnet50():
    """Return ResNet-50 as published: blocks with "same" padding."""
    model = models.resnet(IMAGE, 1000, symmetric_padding=False)
    shapes = micronet.layer_shapes(model)
    return Network(tuple(shapes), "conv1/kernel", "fc/kernel")


@functools.cache
def mobilenet_v1():
    """Return MobileNet-v1 as published.

    The notebook counted Keras' MobileNet of 2019: depthwise convolutions as
    convolutions with one output channel, the first one at 113x113.
    """
    shapes = micronet.layer_shapes(keras.applications.MobileNet(weights=None))
    first = dataclasses.replace(shapes[0], input_size=225)
    shapes = [
        dataclasses.replace(s, kind="Conv2D") for s in [first, *shapes[1:]]
    ]
    return Network(tuple(shapes), "conv1/kernel", "conv_preds/kernel")


@functools.cache
def mobilenet_v2():
    """Return MobileNet-v2 of this package."""
    shapes = micronet.layer_shapes(models.mobilenet_v2(IMAGE, 1000))
    return Network(tuple(shapes), "conv1/kernel", "fc/kernel")


def training_ratio(method, sparse, dense):
    """Return the training FLOPs of a method over those of dense training."""
    updater = {
        "Dense": None,
        # Small-Dense networks are networks of their own.
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


def big_sparse_ratio(net, width, sparse, dense):
    """Return the training FLOPs of RigL on a wide network, over `dense`."""
    wide, _ = net.totals(width=width)
    return training_ratio("RigL", sparse, wide) * wide / dense


def pruning_ratio(flops, sparsity, dense):
    """Return the mean FLOPs of pruning from step 10k to 25k of 32k, over dense.

    Args:
        flops: function from an overall sparsity to FLOPs.
        sparsity: final sparsity.
        dense: FLOPs of the dense network.
    """
    total = 0
    steps = range(0, 32_001, 1000)
    for step in steps:
        progress = min(max((step - 10_000) / 15_000, 0.0), 1.0)
        total += flops(sparsity * (1 - (1 - progress) ** 3))
    return total / len(steps) / dense


def row(train, flops, n_bytes, dense):
    """Return a row of a table: costs, and multiples of dense ones."""
    return {
        "train": train,
        "inference": flops / dense,
        "training FLOPs": 3 * train * dense * _EXAMPLES,
        "inference FLOPs": flops,
        "MFLOPs": flops / 1e6,
        "MB": n_bytes / 1e6,
    }
