"""Tables of ResNet-50 and MobileNets on ImageNet, by the published rule."""

from rigl_tf.accounting import widths
from rigl_tf.tables import cells
from rigl_tf.tables import counted

_NAMES = {
    "uniform": "uniform",
    "ERK": "erdos_renyi_kernel",
    "DSR": "dsr_resnet50",
}
_SMALL_DENSE = {0.8: 0.465, 0.9: 0.34, 0.95: 0.26, 0.965: 0.231}
_BIG_SPARSE = {0.8: 2.1, 0.9: 2.8}
_SMALL_MOBILENET = {0.75: 0.47, 0.85: 0.353, 0.9: 0.285, 0.95: 0.204}
_BIG_MOBILENET = {0.75: 1.98, 0.85: 2.52, 0.9: 3.0, 0.95: 3.98}
_EXAMPLES = 4096 * 32_000  # batches of 4,096, 32,000 steps
_FIRST = " with dense first layer"


def resnet50():
    """Count every row of the ResNet-50 tables of paper and README."""
    net = counted.resnet50()
    dense, n_bytes = net.totals()
    rows = {"Dense": _row(1.0, dense, n_bytes, dense)}
    for method, distribution, sparsity, multiplier in _resnet_settings():
        label = f"{method}, {distribution}, {sparsity:g}, {multiplier:g}x"
        flops, n_bytes, train = _resnet(net, method, distribution, sparsity)
        rows[label] = _row(multiplier * train, flops, n_bytes, dense)
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


def _resnet_settings():
    """Name the rows: method, distribution, sparsity, length of training."""
    for sparsity in (0.8, 0.9, 0.95, 0.965):
        for method in ("Static", "SNIP", "SET", "RigL"):
            yield method, "uniform", sparsity, 1
        yield "RigL", "uniform", sparsity, 5
        for multiplier in (1, 5):
            yield "Small-Dense", "–", sparsity, multiplier
        for multiplier in (1, 1.5):
            yield "Pruning", "uniform", sparsity, multiplier
        for method in ("Static", "SNFS", "RigL"):
            yield method, "ERK", sparsity, 1
        yield "RigL", "ERK", sparsity, 5
        if sparsity in _BIG_SPARSE:
            yield "DSR", "DSR", sparsity, 1
            yield "Big-Sparse", "uniform", sparsity, 1
            yield "Big-Sparse", "ERK", sparsity, 1
    for multiplier in (1, 5):
        yield "RigL", "ERK" + _FIRST, 0.965, multiplier
    for multiplier in (5, 10, 40, 100):
        yield "RigL", "ERK" + _FIRST, 0.99, multiplier
    for method in ("Static from a RigL mask", "RigL from a RigL mask", "RigL"):
        yield method, "uniform", 0.8, 2


def _resnet(net, method, distribution, sparsity):
    """Return FLOPs, bytes and training ratio of a setting."""
    dense, _ = net.totals()
    if method == "Small-Dense":
        flops, n_bytes = net.totals(width=_SMALL_DENSE[sparsity])
        return flops, n_bytes, counted.training_ratio(method, flops, dense)
    name = distribution.removesuffix(_FIRST)
    is_first_dense = name == "uniform" or name != distribution
    custom = {net.first: 0.0} if is_first_dense else None

    def totals(target, width=1.0):
        if target == 0:
            return net.totals()
        found = net.sparsities(_NAMES[name], target, custom)
        return net.totals(found, width)

    width = _BIG_SPARSE[sparsity] if method == "Big-Sparse" else 1.0
    flops, n_bytes = totals(sparsity, width)
    if method == "Pruning":
        train = counted.pruning_ratio(lambda s: totals(s)[0], sparsity, dense)
    elif method == "Big-Sparse":
        train = counted.big_sparse_ratio(net, width, flops, dense)
    else:
        train = counted.training_ratio(method.split(" ")[0], flops, dense)
    return flops, n_bytes, train


def _row(train, flops, n_bytes, dense):
    return {
        "train": train,
        "inference": flops / dense,
        "training FLOPs": 3 * train * dense * _EXAMPLES,
        "inference FLOPs": flops,
        "MFLOPs": flops / 1e6,
        "MB": n_bytes / 1e6,
    }


def mobilenet_v1():
    """Count the rows of notebook, paper and README for MobileNet-v1."""
    net = counted.mobilenet_v1()
    dense, n_bytes = net.totals()
    rows = {"Dense": {**_row(1.0, dense, n_bytes, dense), "sparsity": 0.0}}

    def add(label, distribution, sparsity, custom=None, width=1.0):
        found = {}
        if distribution is not None:
            found = net.sparsities(_NAMES[distribution], sparsity, custom)
        flops, n_bytes = net.totals(found, width)
        method = label.partition(",")[0]
        if method == "Big-Sparse":
            train = counted.big_sparse_ratio(net, width, flops, dense)
        else:
            train = counted.training_ratio(method, flops, dense)
        rows[label] = {
            **_row(train, flops, n_bytes, dense),
            "sparsity": net.achieved(found, width),
        }
        for multiplier in (10, 50, 100) if sparsity == 0.9 else ():
            rows[label][f"train {multiplier}x"] = multiplier * train

    depthwise = {"conv_dw_.*": 0.0}
    first = {net.first: 0.0}
    wide_uniform = {**first, net.last: 0.8}
    for s in _SMALL_MOBILENET:
        add(f"RigL, uniform, {s:g}", "uniform", s, {**depthwise, **first})
        add(f"RigL, ERK, {s:g}", "ERK", s, depthwise)
        add(f"RigL, uniform with sparse depthwise, {s:g}", "uniform", s, first)
        add(f"RigL, ERK with sparse depthwise, {s:g}", "ERK", s, first)
        add(f"Small-Dense, –, {s:g}", None, s, width=_SMALL_MOBILENET[s])
        width = _BIG_MOBILENET[s]
        add(f"Big-Sparse, uniform, {s:g}", "uniform", s, wide_uniform, width)
        add(f"Big-Sparse, ERK, {s:g}", "ERK", s, first, width)
    return cells.Table(
        "mobilenet_v1",
        "MobileNet-v1 on ImageNet by the published rule, as multiples of the "
        "dense network. The first convolution is dense in uniform and "
        "Big-Sparse networks, depthwise ones unless said otherwise; those of "
        "Big-Sparse networks are sparse.",
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


def mobilenet_v2():
    """Count MobileNet-v2; its results were published as a picture alone."""
    net = counted.mobilenet_v2()
    dense, n_bytes = net.totals()
    rows = {"Dense": {**_row(1.0, dense, n_bytes, dense), "sparsity": 0.0}}
    custom = {net.first: 0.0, "block.*_depthwise/kernel": 0.0}
    for sparsity in _SMALL_MOBILENET:
        for name in ("uniform", "ERK"):
            found = net.sparsities(_NAMES[name], sparsity, custom)
            flops, n_bytes = net.totals(found)
            train = counted.training_ratio("RigL", flops, dense)
            rows[f"RigL, {name}, {sparsity:g}"] = {
                **_row(train, flops, n_bytes, dense),
                "sparsity": net.achieved(found),
            }
    return cells.Table(
        "mobilenet_v2",
        "MobileNet-v2 on ImageNet by the published rule; first and depthwise "
        "convolutions dense. Nothing was published but a picture.",
        {
            "train": ".4f",
            "inference": ".4f",
            "MFLOPs": ".3f",
            "MB": ".3f",
            "sparsity": ".4f",
        },
        rows,
    )


def find_widths():
    """Find the widths of Small-Dense and Big-Sparse networks."""
    rows = {}
    for name, net, small, big in (
        ("ResNet-50", counted.resnet50(), _SMALL_DENSE, _BIG_SPARSE),
        (
            "MobileNet-v1",
            counted.mobilenet_v1(),
            _SMALL_MOBILENET,
            _BIG_MOBILENET,
        ),
    ):
        for sparsity in small:
            first = {net.first: 0.0}
            found = net.sparsities(_NAMES["ERK"], sparsity, first)
            label = f"{name}, Small-Dense, {sparsity:g}"
            rows[label] = _width(
                label,
                lambda width: net.totals(width=width)[1],
                net.totals(found)[1],
                at_most=False,
            )
        for sparsity in big:
            custom = {net.first: 0.0} if name == "MobileNet-v1" else None
            found = net.sparsities(_NAMES["ERK"], sparsity, custom)
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


# The authors rounded some widths more coarsely than others.
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
