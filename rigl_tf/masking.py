"""Dense model -> masked model, and back."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf import copies
from rigl_tf import distributions
from rigl_tf import layers
from rigl_tf import masks
from rigl_tf import reports
from rigl_tf import selection
from rigl_tf import structure


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedKernel:
    """A kernel and its mask.

    Attributes:
        path: structural path of the kernel from the model's root.
        kernel: `keras.Variable`; zero wherever the mask is.
        mask: `keras.Variable` of zeros and ones, shaped like the kernel.
        sparsity: target fraction of zeros, in [0, 1).
    """

    path: str
    kernel: keras.Variable
    mask: keras.Variable
    sparsity: float

    @property
    def size(self):
        """Number of weights."""
        return math.prod(self.kernel.shape)


def sparsify(
    model,
    sparsity,
    distribution="erdos_renyi_kernel",
    *,
    custom=None,
    count_custom=False,
    masked_layers=None,
    dense_layers=(),
    first_mask="random",
    seed=0,
    verbose=False,
):
    """Return a copy of `model` with masked kernels at the given sparsity.

    Weights are copied, a mask with exactly `size - floor(s^l * size)` ones is
    drawn for each kernel, and the inactive weights are set to zero. The model
    given is left as it is. The copy is not compiled.

    Args:
        model: built Keras model: Sequential, functional, nested, with shared
            layers; or subclassed, if its class can be rebuilt from its
            configuration, as Keras demands for saving.
        sparsity: overall fraction of zeros S over the masked kernels, in
            [0, 1).
        distribution: "uniform", "erdos_renyi", "erdos_renyi_kernel", or a
            function like those in `rigl_tf.distributions`.
        custom: optional dictionary from kernel path, or regular expression, to
            a fixed sparsity.
        count_custom: whether the kernels of `custom` count in the budget of S.
        masked_layers: selectors of the kernels that get masks, see
            `selection.select`; None for all but embeddings and depthwise
            kernels, which must be asked for.
        dense_layers: selectors of kernels that stay plain and unmasked, after
            all. Outside of the budget; to count them, give them sparsity 0 in
            `custom` with `count_custom=True`.
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
            matches no kernel, or a model that cannot be copied.
    """
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
    masked_model = _wrap(
        model, {id(variables[path]): s for path, s in sparsities.items()}
    )
    if first_mask == "random":
        _draw_masks(masked_model, seed)
    elif first_mask == "magnitude":
        _keep_largest(masked_model)
    if verbose:
        reports.summary(masked_model)
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
    kernels = selection.select(maskable(model), masked_layers, dense_layers)
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
        ValueError: the model has none.
    """
    found = [
        MaskedKernel(
            f"{path}/{inner}".lstrip("/"),
            kernel,
            mask,
            layer.sparsities.get(inner, 0.0),
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


def strip(model):
    """Return a plain Keras copy of a masked model, with real zeros.

    Args:
        model: result of `sparsify`.

    Returns:
        Keras model that needs no rigl_tf to be loaded. Not compiled.
    """
    for item in masked_kernels(model):
        item.kernel.assign(item.kernel.value * item.mask.value)
    if isinstance(model, layers.MaskedModel):
        plain = copies.copy_layer(model.masked.layer)
    else:
        plain = copies.clone(
            model, lambda layer: copies.copy_layer(_inside(layer))
        )
    copies.copy_variables(model, plain)
    return plain


def maskable(model):
    """List the `layers.Candidate`s of a model: kernels that can be masked.

    Raises:
        TypeError: it is no Keras model.
        ValueError: it is not built, or has no such kernel.
    """
    structure.require_built(model, keras.Model)
    if any(isinstance(la, layers.Masked) for _, la in structure.walk(model)):
        raise ValueError(
            "`model` must not be masked already: call `rigl_tf.strip` first. "
            f"Received: {model.name!r}"
        )
    kernels = layers.candidates(model)
    if not kernels:
        raise ValueError(
            "`model` has no kernel to mask: masks are for trainable kernels of "
            "rank 2 or more (Dense, Conv, GRU, ...). Received: "
            f"{model.name!r} with the layers "
            f"{', '.join(layer.name for layer in model.layers)}"
        )
    return kernels


def _wrap(model, sparsities):
    """Copy the model; wrap layers that hold a kernel with a sparsity."""

    def wrap(layer):
        held = {
            path: sparsities[id(variable)]
            for path, variable in structure.variables_by_path(layer).items()
            if id(variable) in sparsities
        }
        copy = copies.copy_layer(layer)
        return layers.Masked(copy, sparsities=held) if held else copy

    if structure.is_graph(model):
        masked = copies.clone(model, wrap)
    else:
        inside = wrap(model)
        inside.build()
        masked = layers.MaskedModel(inside)
    copies.copy_variables(model, masked)
    return masked


def _inside(layer):
    return layer.layer if isinstance(layer, layers.Masked) else layer


def _draw_masks(model, seed):
    for item in masked_kernels(model):
        n_active = masks.n_ones(item.size, item.sparsity)
        mask = masks.random_mask(
            tuple(item.kernel.shape),
            n_active,
            masks.stateless_seed(seed, item.path, "first_mask"),
        )
        set_mask(item, mask)


def _keep_largest(model):
    for item in masked_kernels(model):
        n_active = masks.n_ones(item.size, item.sparsity)
        set_mask(item, masks.top_k_mask(tf.abs(item.kernel.value), n_active))


def set_mask(item, mask):
    """Assign a mask and set the weights outside of it to zero.

    Args:
        item: `MaskedKernel`.
        mask: array or tensor of zeros and ones, shaped like the kernel.
    """
    mask = np.asarray(mask)
    if mask.shape != tuple(item.kernel.shape):
        raise ValueError(
            f"The mask of {item.path!r} must have shape "
            f"{tuple(item.kernel.shape)}. Received: {mask.shape}"
        )
    item.mask.assign(mask)
    item.kernel.assign(item.kernel.value * item.mask.value)
