"""The network of an experiment: width, first weights, masks."""

import math

import keras

from rigl_tf import accounting
from rigl_tf import updaters
from rigl_tf.accounting import training_costs
from rigl_tf.accounting import widths
from rigl_tf.layers import initializers
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masking
from rigl_tf.layers import model_paths
from rigl_tf.masks import counts
from rigl_tf.masks import patterns

# How far the density of masks may be from the one that was asked for beside
# them, relative to it: structured masks round.
_TOLERANCE = 0.1
# Each is counted by itself, if the sparsity changes.
_MOST_UPDATES = 10**5


def check(job):
    """Raise ValueError or TypeError if method, network and run do not fit.

    Args:
        job: `experiment.Experiment`.
    """
    updater = job.mask_updater
    if updater is None:
        if job.sparsity != 0 and job.width != "small_dense":
            raise ValueError(
                "Dense training has no masks: leave SPARSITY at 0, or name a "
                "method such as methods/rigl. Received: "
                f"sparsity={job.sparsity}"
            )
        job.start.check(None, job.sparsity)
        return
    if job.width == "small_dense":
        raise ValueError(
            "A Small-Dense network is trained without masks (updater None). "
            f"Received: updater={updater!r}"
        )
    if not isinstance(updater, updaters.MaskUpdater):
        raise TypeError(
            "`updater` must be None or a `MaskUpdater`, in gin "
            f"@module.Method(). Received: updater={updater!r}"
        )
    job.start.check(updater, job.sparsity)
    updater.check_pattern(patterns.get(job.pattern))
    _check_window(updater, job.total_steps)


def _check_window(updater, n_steps):
    """Raise ValueError if a method does not get done before training ends."""
    end = getattr(updater, "update_end_step", None)
    if end is not None and end > n_steps:
        raise ValueError(
            "`update_end_step` must not lie after the last step, or what ends "
            f"there never ends. Received: update_end_step={end}, "
            f"train_steps={n_steps} (set UPDATE_END_STEP or PRUNE_END_STEP, "
            "and TRAIN_STEPS)"
        )
    if updater.needs.varying_sparsity:
        n_updates = training_costs.n_updates(updater, n_steps)
        if n_updates > _MOST_UPDATES:
            raise ValueError(
                f"Masks of changing sparsity take at most {_MOST_UPDATES:,} "
                f"updates. Received: settings for {n_updates:,} (set "
                "UPDATE_INTERVAL or PRUNE_INTERVAL)"
            )
    reached = training_costs.final_progress(updater, n_steps)
    if reached < 1:
        raise ValueError(
            "Pruning must be done before training ends. Received: settings "
            f"that leave out {1 - reached:.0%} of the zeros within "
            f"train_steps={n_steps} (set PRUNE_BEGIN_STEP, PRUNE_END_STEP, "
            "PRUNE_INTERVAL, UPDATE_INTERVAL)"
        )


def build(job, data):
    """Build the network that a job trains, masked unless it trains densely.

    Args:
        job: `experiment.Experiment`.
        data: its data set.

    Returns:
        Keras model.
    """
    width = find_width(job, data)
    keras.utils.set_random_seed(job.start.weights_seed(job.seed))
    net = plain(job, data, width)
    job.start.restore_weights(net)
    if job.updater is None:
        return net
    given = _given_masks(job)
    pattern = patterns.get(job.pattern)
    if given is None:
        net = masking.sparsify(
            net,
            **_targets(job),
            pattern=pattern,
            first_mask="dense" if job.updater.needs.dense_start else "random",
            seed=job.seed,
        )
    else:
        net = masking.with_masks(net, given, pattern)
    if job.start.sparse_init is not None:
        kernels = kernel_masks.masked_kernels(net)
        initializers.initialize(kernels, job.start.sparse_init, job.seed)
    return net


def plain(job, data, width):
    """Build the dense network of a job at a width.

    Raises:
        ValueError: it does not give one logit per class.
    """
    scaled = {} if width == 1 else {"width": width}
    net = job.model(data.input_shape, data.n_classes, **scaled)
    shape = net.outputs[0].shape
    if shape[-1] != data.n_classes:
        raise ValueError(
            f"`model` must give one logit per class, {data.n_classes}. "
            f"Received: outputs of shape {tuple(shape)}"
        )
    return net


def find_width(job, data):
    """Return the width of a job's network as a number."""
    if job.width not in widths.RULES:
        return job.width

    def count_zeros(net):
        targets = masking.target_sparsities(net, **_targets(job))
        return sum(
            math.prod(shape) - n_active
            for shape, n_active in _planned(net, targets, job.pattern)
        )

    return widths.rival_width(
        job.width, lambda width: plain(job, data, width), count_zeros
    )


def reference(job, data, width, rule="exact"):
    """Count the dense network of width 1; None if that is ours."""
    if width == 1:
        return None
    return accounting.count(plain(job, data, 1), rule=rule)


def planned_sparsities(job, net):
    """Return the sparsities that the masks of a job will have, drawing none.

    Args:
        job: `experiment.Experiment`.
        net: its dense network.

    Returns:
        dictionary from kernel path to sparsity; empty for dense training.
    """
    if job.updater is None:
        return {}
    given = _given_masks(job)
    if given is not None:
        return {
            path: counts.sparsity_of(max(mask.sum(), 1), mask.size)
            for path, mask in given.items()
        }
    targets = masking.target_sparsities(net, **_targets(job))
    pattern = patterns.get(job.pattern)
    if pattern == patterns.UNSTRUCTURED:
        return targets
    planned = _planned(net, targets, pattern)
    return {
        path: counts.sparsity_of(n_active, math.prod(shape))
        for path, (shape, n_active) in zip(targets, planned)
    }


def _planned(net, targets, pattern):
    """List `(kernel shape, active weights)` of each target."""
    pattern = patterns.get(pattern)
    variables = model_paths.variables_by_path(net)
    kernel_shapes = {path: tuple(variables[path].shape) for path in targets}
    pattern.check_sparsities(kernel_shapes, targets)
    return [
        (shape, pattern.n_active(shape, targets[path]))
        for path, shape in kernel_shapes.items()
    ]


def _given_masks(job):
    """Return the masks to begin with, or None for fresh ones."""
    if not job.start.gives_masks(job.updater):
        return None
    given = job.start.read_masks(patterns.get(job.pattern), job.seed)
    if job.sparsity is None:
        return given
    size = sum(mask.size for mask in given.values())
    density = sum(int(mask.sum()) for mask in given.values()) / size
    wanted = 1 - job.sparsity
    if abs(density - wanted) > _TOLERANCE * wanted:
        raise ValueError(
            "`sparsity` must be that of the masks to begin with: leave it to "
            f"them (SPARSITY=None). Received: sparsity={job.sparsity}, masks "
            f"of {1 - density:.4f}"
        )
    return given


def _targets(job):
    """Return what decides the target sparsities, as arguments."""
    return {
        "sparsity": job.sparsity,
        "distribution": job.distribution,
        "custom": job.custom_sparsities,
        "masked_layers": job.masked_layers,
        "dense_layers": job.dense_layers,
    }
