"""Convert a dense Keras model to a masked one, and back."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.layers import building
from rigl_tf.layers import conversion
from rigl_tf.layers import copying
from rigl_tf.layers import guards
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masked as layer_masked
from rigl_tf.layers import model_paths
from rigl_tf.layers import selectors
from rigl_tf.layers import sparse_kernels
from rigl_tf.layers import summary
from rigl_tf.masks import counts
from rigl_tf.masks import distributions
from rigl_tf.masks import draws
from rigl_tf.masks import patterns
from rigl_tf.sparse import layers as sparse_layers


def sparsify(
    model: keras.Model | Callable[[], keras.Model],
    sparsity: float,
    distribution: str | distributions.Distribution = "erdos_renyi_kernel",
    *,
    custom: Mapping[selectors.Selector, float] | None = None,
    count_custom: bool = False,
    masked_layers: selectors.Selectors | None = None,
    dense_layers: selectors.Selectors = (),
    pattern: str | patterns.Pattern = "unstructured",
    first_mask: Literal["random", "dense", "magnitude"] = "random",
    compute: conversion.Compute = "masked",
    seed: int = 0,
    verbose: bool = False,
) -> keras.Model:
    """Return a copy of `model` with sparse kernels at the given sparsity.

    Weights are copied, a mask with exactly `size - floor(s^l * size)` ones (or
    active units, see `rigl_tf.patterns`) is drawn for each kernel, and the
    inactive weights are set to zero. `model` itself is not changed. The copy is
    not compiled.

    With `compute="masked"` a step costs what a dense one does, on any device.
    With "sparse" the same connections are all that Dense layers have
    (`sparse.SparseDense`): time and memory are theirs, on the CPU. "block" is
    the same for square blocks (`sparse.BlockDense`), on any device.

    Args:
        model: built Keras model: Sequential or functional, also nested or with
            shared layers; or subclassed, if its class can be rebuilt from its
            configuration, as Keras requires for saving. Or a function that
            builds a Sequential or functional one: its kernels are then never
            allocated, and new weights are drawn.
        sparsity: overall fraction of zeros S over the masked kernels, in
            [0, 1).
        distribution: "uniform", "erdos_renyi" ("er"), "erdos_renyi_kernel"
            ("erk"), or a function like those in `rigl_tf.masks.distributions`.
        custom: optional dictionary from selectors, like those of
            `masked_layers`, to fixed sparsities; the first match applies.
        count_custom: whether the kernels of `custom` count in the budget of S.
        masked_layers: selectors of the kernels that get masks, see
            `selectors.select`; None for all but embeddings and depthwise
            kernels, which are only masked if selected.
        dense_layers: selectors of kernels that stay dense. They do not count in
            the budget; to count them, give them sparsity 0 in `custom` with
            `count_custom=True`.
        pattern: "unstructured", "2:4" (any N:M), "block_4x1", "channel",
            "channel_in", "constant_fan_in", or a `patterns.Pattern`; see
            `masks.patterns.get`.
        first_mask: "random"; "dense" for all ones, with which methods start
            that choose their mask from dense weights (SNIP); or "magnitude",
            the largest weights of a trained model.
        compute: "masked"; "sparse", for all Dense kernels with an unstructured
            mask and a density up to 0.5, others are masked; "auto", for those
            of at least 2^18 weights with a density up to 0.15; or "block", for
            kernels that a pattern such as "block_32x32" divides into blocks.
        seed: seed of the masks.
        verbose: whether to print which weights are masked and why
            (`rigl_tf.summary`).

    Returns:
        A Keras model of the same kind, in which `masked.Masked` wraps each
        layer with masks and `sparse.SparseDense` or `sparse.BlockDense` stands
        for truly sparse ones;
        for a subclassed model, a `masked.MaskedModel` around it.

    Raises:
        TypeError: if `model` is not a Keras model, or an argument has the wrong
            type.
        ValueError: if there is nothing to mask, the sparsity is infeasible, a
            selector matches no kernel, a kernel cannot have the pattern, the
            model cannot be copied, or no kernel can be truly sparse.
    """
    has_values = isinstance(model, keras.layers.Layer) or not callable(model)
    if not has_values:
        with building.without_values():
            model = model()
    model = model_paths.inside_training(model)
    pattern = patterns.get(pattern)
    checks.one_of("first_mask", first_mask, ("random", "dense", "magnitude"))
    sparsities = target_sparsities(
        model,
        sparsity,
        distribution,
        custom=custom,
        count_custom=count_custom,
        masked_layers=masked_layers,
        dense_layers=dense_layers,
    )
    variables = model_paths.variables_by_path(model)
    kernel_shapes = {path: tuple(variables[path].shape) for path in sparsities}
    selectors.require_plain_axes(pattern, model, kernel_shapes)
    pattern.check_sparsities(kernel_shapes, sparsities)
    truly = conversion.choose(model, sparsities, compute, pattern, first_mask)

    def to_sparse(layer, path):
        arguments = (truly[path], pattern, first_mask, seed, has_values)
        return conversion.to_sparse(layer, path, *arguments)

    masked_model = _wrap(
        model,
        {id(variables[path]): s for path, s in sparsities.items()},
        pattern,
        {id(variables[path]): path for path in truly},
        to_sparse,
        has_values,
    )
    if first_mask == "random":
        _draw_masks(masked_model, seed)
    elif first_mask == "magnitude":
        _keep_largest(masked_model)
    if verbose:
        summary.summary(masked_model)
    return masked_model


def with_masks(
    model: keras.Model,
    masks_by_path: Mapping[str, np.ndarray],
    pattern: str | patterns.Pattern = "unstructured",
) -> keras.Model:
    """Return a copy of `model` with given masks.

    Args:
        model: built Keras model, see `sparsify`.
        masks_by_path: dictionary from the path of a kernel to an array of zeros
            and ones, as `masks.storage.load` returns it; other kernels stay
            dense.
        pattern: sparsity pattern of the masks, see `sparsify`.

    Returns:
        A masked model, see `sparsify`; the target sparsities are those of the
        masks.

    Raises:
        ValueError: if a path is not that of a kernel, or a mask does not fit.
    """
    pattern = patterns.get(pattern)
    kernels = {c.path: c.kernel for c in selectors.maskable(model)}
    unknown = masks_by_path.keys() - kernels.keys()
    if unknown or not masks_by_path:
        raise ValueError(
            "Masks must belong to kernels of the model. Received: "
            f"{min(unknown, default='none at all')!r}; the kernels are: "
            f"{', '.join(kernels)}"
        )
    selectors.require_plain_axes(pattern, model, masks_by_path)
    targets = {}
    for path, mask in masks_by_path.items():
        pattern.check_mask(path, mask, tuple(kernels[path].shape))
        n_active = max(int(np.count_nonzero(mask)), 1)
        targets[id(kernels[path])] = counts.sparsity_of(n_active, np.size(mask))
    masked_model = _wrap(model, targets, pattern)
    for item in kernel_masks.masked_kernels(masked_model):
        kernel_masks.set_mask(item, masks_by_path[item.path])
    return masked_model


def target_sparsities(
    model: keras.Model,
    sparsity: float,
    distribution: str | distributions.Distribution = "erdos_renyi_kernel",
    *,
    custom: Mapping[selectors.Selector, float] | None = None,
    count_custom: bool = False,
    masked_layers: selectors.Selectors | None = None,
    dense_layers: selectors.Selectors = (),
) -> dict[str, float]:
    """Return the sparsities that `sparsify` would use, without drawing masks.

    See `sparsify` for the arguments and errors.

    Returns:
        A dictionary from the path of each kernel to its sparsity.
    """
    if isinstance(sparsity, dict):
        raise TypeError(
            "`sparsity` must be a number, the overall fraction of zeros; "
            "sparsities of single layers go into `custom`. "
            f"Received: sparsity={sparsity!r}"
        )
    kernels = selectors.select(
        selectors.maskable(model), masked_layers, dense_layers
    )
    by_path = None if custom is None else selectors.by_kernel(custom, kernels)
    shapes = {c.path: tuple(c.kernel.shape) for c in kernels}
    return distributions.get(distribution)(
        shapes, sparsity, custom=by_path, count_custom=count_custom
    )


def strip(model: keras.Model, keep_sparse: bool = False) -> keras.Model:
    """Return a plain Keras copy of a sparse model, with zeros as weights.

    Args:
        model: result of `sparsify`, or a `SparseModel` around it.
        keep_sparse: whether truly sparse layers stay as they are; the copy then
            needs rigl_tf to be loaded.

    Returns:
        A Keras model that can be loaded without rigl_tf. It is not compiled.

    Raises:
        TypeError: if `model` is not a Keras model.
        ValueError: if it has no sparse kernel, or a truly sparse one is too
            large to be dense (2^28 weights).
    """
    model = model_paths.inside_training(model)
    masked, _ = sparse_kernels.all_kernels(model)
    for item in masked:
        kernel_masks.assign(item, item.mask.value)

    def plain_layer(layer):
        if isinstance(layer, sparse_layers.SparseDense) and not keep_sparse:
            return conversion.to_dense(layer)
        return copying.copy_layer(_inside(layer))

    if isinstance(model, layer_masked.MaskedModel):
        plain = copying.copy_layer(model.masked.layer)
    else:
        plain = copying.clone(model, plain_layer)
    copying.copy_state(model, plain)
    return plain


def _wrap(
    model, sparsities, pattern, truly=(), to_sparse=None, has_values=True
):
    """Copy a model and wrap the layers with kernels that have a sparsity.

    Layers whose kernels are in `truly`, a dictionary from ids to paths, are
    converted by `to_sparse`.
    """

    def wrap(layer):
        own = model_paths.own_variables(layer)
        paths = [truly[id(v)] for v in own if id(v) in truly]
        if paths:
            return to_sparse(layer, *paths)
        held = {
            path: sparsities[id(variable)]
            for path, variable in model_paths.variables_by_path(layer).items()
            if id(variable) in sparsities
        }
        copy = copying.copy_layer(layer)
        return layer_masked.Masked(copy, held, pattern) if held else copy

    if model_paths.is_assembled(model):
        masked = copying.clone(model, wrap)
    elif truly or not has_values:
        raise ValueError(
            "Truly sparse layers, and functions that build a model, need a "
            "Sequential or functional model. Received: a "
            f"{type(model).__name__}; put `sparse.SparseDense` into its class"
        )
    else:
        inside = wrap(model)
        inside.build()
        masked = layer_masked.MaskedModel(inside)
    if has_values:
        copying.copy_state(model, masked)
    guards.refuse_dense_weights(masked)
    return masked


def _inside(layer):
    return layer.layer if isinstance(layer, layer_masked.Masked) else layer


def _draw_masks(model, seed):
    for item in kernel_masks.masked_kernels(model, optional=True):
        draw = draws.stateless_seed(seed, item.path, "first_mask")
        scores = draws.uniform_scores(tuple(item.kernel.shape), draw)
        kernel_masks.assign(item, item.fresh_mask(scores))


def _keep_largest(model):
    for item in kernel_masks.masked_kernels(model, optional=True):
        kernel_masks.assign(item, item.fresh_mask(tf.abs(item.kernel.value)))
