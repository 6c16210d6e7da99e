"""Dense model -> masked model, and back."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf import copies
from rigl_tf import distributions
from rigl_tf import guards
from rigl_tf import layers
from rigl_tf import masks
from rigl_tf import reports
from rigl_tf import selection
from rigl_tf import shapes
from rigl_tf import structure


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedKernel:
    """A kernel and its mask.

    Attributes:
        path: structural path of the kernel from the model's root.
        kernel: `keras.Variable`; zero wherever the mask is.
        mask: `keras.Variable` of zeros and ones, shaped like the kernel.
        sparsity: target fraction of zeros, in [0, 1).
        mask_shape: `shapes.MaskShape` of the mask.
    """

    path: str
    kernel: keras.Variable
    mask: keras.Variable
    sparsity: float
    mask_shape: shapes.MaskShape = shapes.UNSTRUCTURED

    @property
    def size(self):
        """Number of weights."""
        return math.prod(self.kernel.shape)

    def fresh_mask(self, scores, sparsity=None):
        """Keep the largest scores, as many as a fresh mask has ones.

        Args:
            scores: tensor shaped like the kernel.
            sparsity: None for the target.
        """
        sparsity = self.sparsity if sparsity is None else sparsity
        shape = tuple(self.kernel.shape)
        n_units = self.mask_shape.n_units(shape, sparsity)
        return self.mask_shape.top(scores, n_units)


def sparsify(
    model,
    sparsity,
    distribution="erdos_renyi_kernel",
    *,
    custom=None,
    count_custom=False,
    masked_layers=None,
    dense_layers=(),
    mask_shape="unstructured",
    first_mask="random",
    seed=0,
    verbose=False,
):
    """Return a copy of `model` with masked kernels at the given sparsity.

    Weights are copied, a mask with exactly `size - floor(s^l * size)` ones (or
    active units, see `rigl_tf.shapes`) is drawn for each kernel, and the
    inactive weights are set to zero. The model given is left as it is. The copy
    is not compiled.

    Args:
        model: built Keras model: Sequential, functional, nested, with shared
            layers; or subclassed, if its class can be rebuilt from its
            configuration, as Keras demands for saving.
        sparsity: overall fraction of zeros S over the masked kernels, in
            [0, 1).
        distribution: "uniform", "erdos_renyi" ("er"), "erdos_renyi_kernel"
            ("erk"), or a function like those in `rigl_tf.distributions`.
        custom: optional dictionary from selectors, as those of `masked_layers`,
            to fixed sparsities; the first that matches a kernel decides.
        count_custom: whether the kernels of `custom` count in the budget of S.
        masked_layers: selectors of the kernels that get masks, see
            `selection.select`; None for all but embeddings and depthwise
            kernels, which must be asked for.
        dense_layers: selectors of kernels that stay plain and unmasked, after
            all. Outside of the budget; to count them, give them sparsity 0 in
            `custom` with `count_custom=True`.
        mask_shape: "unstructured", "2:4" (any N:M), "block_4x1", "channel",
            "channel_in", "constant_fan_in", or a `shapes.MaskShape`; see
            `shapes.get`.
        first_mask: "random"; "dense" for all ones: the methods that choose
            their mask from dense weights (SNIP) begin so; or "magnitude", the
            largest weights of a trained model.
        seed: seed of the masks.
        verbose: whether to print what is masked, what not and why
            (`rigl_tf.summary`).

    Returns:
        Keras model of the same kind, in which `layers.Masked` wraps each layer
        with masks; for a subclassed model a `layers.MaskedModel` around it.

    Raises:
        ValueError: nothing to mask, an infeasible sparsity, a selector that
            matches no kernel, a kernel that cannot have the mask shape, or a
            model that cannot be copied.
    """
    model = structure.inside_training(model)
    mask_shape = shapes.get(mask_shape)
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
    variables = structure.variables_by_path(model)
    kernel_shapes = {path: tuple(variables[path].shape) for path in sparsities}
    selection.require_plain_axes(mask_shape, model, kernel_shapes)
    mask_shape.check_sparsities(kernel_shapes, sparsities)
    masked_model = _wrap(
        model,
        {id(variables[path]): s for path, s in sparsities.items()},
        mask_shape,
    )
    if first_mask == "random":
        _draw_masks(masked_model, seed)
    elif first_mask == "magnitude":
        _keep_largest(masked_model)
    if verbose:
        reports.summary(masked_model)
    return masked_model


def with_masks(model, masks_by_path, mask_shape="unstructured"):
    """Return a copy of `model` with given masks.

    Args:
        model: as in `sparsify`.
        masks_by_path: dictionary from kernel path to an array of zeros and
            ones, as `mask_files.load` returns it; others stay dense.
        mask_shape: the shape that the masks have, as in `sparsify`.

    Returns:
        as `sparsify`; targets are the sparsities of the masks.

    Raises:
        ValueError: a path names no kernel, or a mask does not fit it.
    """
    mask_shape = shapes.get(mask_shape)
    kernels = {c.path: c.kernel for c in selection.maskable(model)}
    unknown = masks_by_path.keys() - kernels.keys()
    if unknown or not masks_by_path:
        raise ValueError(
            "Masks must be those of kernels of the model. Received: "
            f"{min(unknown, default='none at all')!r}; the kernels are: "
            f"{', '.join(kernels)}"
        )
    selection.require_plain_axes(mask_shape, model, masks_by_path)
    targets = {}
    for path, mask in masks_by_path.items():
        mask_shape.check_mask(path, mask, tuple(kernels[path].shape))
        n_active = max(int(np.count_nonzero(mask)), 1)
        targets[id(kernels[path])] = masks.sparsity_of(n_active, np.size(mask))
    masked_model = _wrap(model, targets, mask_shape)
    for item in masked_kernels(masked_model):
        set_mask(item, masks_by_path[item.path])
    return masked_model


def target_sparsities(
    model,
    sparsity,
    distribution="erdos_renyi_kernel",
    *,
    custom=None,
    count_custom=False,
    masked_layers=None,
    dense_layers=(),
):
    """Return the sparsities that `sparsify` would give, drawing no mask.

    Args and errors: as `sparsify`.

    Returns:
        dictionary from the path of each kernel to its sparsity.
    """
    if isinstance(sparsity, dict):
        raise TypeError(
            "`sparsity` must be a number, the overall fraction of zeros; "
            "sparsities of single layers go into `custom`. "
            f"Received: sparsity={sparsity!r}"
        )
    kernels = selection.select(
        selection.maskable(model), masked_layers, dense_layers
    )
    if custom is not None:
        custom = selection.by_kernel(custom, kernels)
    shapes = {c.path: tuple(c.kernel.shape) for c in kernels}
    return distributions.get(distribution)(
        shapes, sparsity, custom=custom, count_custom=count_custom
    )


def masked_kernels(model):
    """List the masked kernels of a model, in the order of its layers.

    Args:
        model: result of `sparsify`, or such a model loaded from a file.

    Returns:
        list of `MaskedKernel`.

    Raises:
        TypeError: it is no Keras model.
        ValueError: the model has none.
    """
    structure.require_kind(model, keras.layers.Layer)
    found = [
        MaskedKernel(
            f"{path}/{inner}".lstrip("/"),
            kernel,
            mask,
            layer.sparsities.get(inner, 0.0),
            layer.mask_shape,
        )
        for path, layer in structure.walk(model)
        if isinstance(layer, layers.Masked)
        for inner, kernel, mask in layer.masked()
    ]
    if not found:
        raise ValueError(
            "`model` has no masked kernels: call `rigl_tf.sparsify` first. "
            f"Received: {model.name!r}"
        )
    return found


def require_dense(kernels, method):
    """Raise ValueError if a method that begins dense finds nothing to drop.

    Args:
        kernels: list of `MaskedKernel`.
        method: name of the method, for the message.
    """
    sparse = []
    for item in kernels:
        shape = tuple(item.kernel.shape)
        target = item.mask_shape.n_active(shape, item.sparsity)
        n_active = np.count_nonzero(item.mask.numpy())
        if target < item.size:
            sparse.append(n_active <= target)
    if sparse and all(sparse):
        raise ValueError(
            f"{method} chooses masks from dense weights: call `sparsify` with "
            '`first_mask="dense"`. Received: masks that are as sparse as their '
            "targets already; `updaters.Static()` trains on with these"
        )


def strip(model):
    """Return a plain Keras copy of a masked model, with real zeros.

    Args:
        model: result of `sparsify`, or a `SparseModel` around it.

    Returns:
        Keras model that needs no rigl_tf to be loaded. Not compiled.
    """
    model = structure.inside_training(model)
    for item in masked_kernels(model):
        item.kernel.assign(item.kernel.value * item.mask.value)
    if isinstance(model, layers.MaskedModel):
        plain = copies.copy_layer(model.masked.layer)
    else:
        plain = copies.clone(
            model, lambda layer: copies.copy_layer(_inside(layer))
        )
    copies.copy_state(model, plain)
    return plain


def _wrap(model, sparsities, mask_shape):
    """Copy the model; wrap layers that hold a kernel with a sparsity."""

    def wrap(layer):
        held = {
            path: sparsities[id(variable)]
            for path, variable in structure.variables_by_path(layer).items()
            if id(variable) in sparsities
        }
        copy = copies.copy_layer(layer)
        return layers.Masked(copy, held, mask_shape) if held else copy

    if structure.is_assembled(model):
        masked = copies.clone(model, wrap)
    else:
        inside = wrap(model)
        inside.build()
        masked = layers.MaskedModel(inside)
    copies.copy_state(model, masked)
    guards.refuse_dense_weights(masked)
    return masked


def _inside(layer):
    return layer.layer if isinstance(layer, layers.Masked) else layer


def _draw_masks(model, seed):
    for item in masked_kernels(model):
        draw = masks.stateless_seed(seed, item.path, "first_mask")
        scores = masks.uniform_scores(tuple(item.kernel.shape), draw)
        _assign(item, item.fresh_mask(scores))


def _keep_largest(model):
    for item in masked_kernels(model):
        _assign(item, item.fresh_mask(tf.abs(item.kernel.value)))


def set_mask(item, mask):
    """Assign a mask and set the weights outside of it to zero.

    Args:
        item: `MaskedKernel`.
        mask: array or tensor of zeros and ones, shaped like the kernel.
    """
    item.mask_shape.check_mask(item.path, mask, tuple(item.kernel.shape))
    _assign(item, mask)


def _assign(item, mask):
    item.mask.assign(tf.cast(mask, item.mask.dtype))
    item.kernel.assign(item.kernel.value * item.mask.value)
