"""Dense model -> masked model, and back."""

import dataclasses
import math

import keras
import numpy as np

from rigl_tf import checks
from rigl_tf import distributions
from rigl_tf import layers
from rigl_tf import masks
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
    dense_layers=(),
    first_mask="random",
    seed=0,
):
    """Return a copy of `model` with masked kernels at the given sparsity.

    Weights are copied, a mask with exactly `size - floor(s^l * size)` ones is
    drawn for each kernel, and the inactive weights are set to zero. The model
    given is left as it is. The copy is not compiled.

    Args:
        model: built Sequential or functional Keras model; nested models and
            shared layers are allowed.
        sparsity: overall fraction of zeros S over the masked kernels, in
            [0, 1).
        distribution: "uniform", "erdos_renyi", "erdos_renyi_kernel", or a
            function like those in `rigl_tf.distributions`.
        custom: optional dictionary from kernel path, or regular expression, to
            a fixed sparsity.
        count_custom: whether the kernels of `custom` count in the budget of S.
        dense_layers: paths of kernels, or regular expressions, that stay plain
            and unmasked. Outside of the budget; to count them, give them
            sparsity 0 in `custom` with `count_custom=True`.
        first_mask: "random", or "dense" for all ones: the methods that choose
            their mask from dense weights (SNIP) begin so.
        seed: seed of the masks.

    Returns:
        Keras model of the same kind, in which `layers.Masked` wraps each layer
        with masks.

    Raises:
        ValueError: nothing to mask, an infeasible sparsity, or a pattern that
            matches no kernel.
    """
    checks.one_of("first_mask", first_mask, ("random", "dense"))
    kernels = maskable(model)
    sparsities = target_sparsities(
        model,
        sparsity,
        distribution,
        custom=custom,
        count_custom=count_custom,
        dense_layers=dense_layers,
    )
    masked_model = _wrap(
        model, {id(kernels[path]): s for path, s in sparsities.items()}
    )
    if first_mask == "random":
        _draw_masks(masked_model, seed)
    return masked_model


def target_sparsities(
    model,
    sparsity,
    distribution="erdos_renyi_kernel",
    *,
    custom=None,
    count_custom=False,
    dense_layers=(),
):
    """Return the sparsities that `sparsify` would give, drawing no mask.

    Args and errors: as `sparsify`.

    Returns:
        dictionary from the path of each kernel to its sparsity.
    """
    kernels = maskable(model)
    skipped = distributions.matching(
        dense_layers, list(kernels), "dense_layers"
    )
    shapes = {
        path: tuple(kernel.shape)
        for path, kernel in kernels.items()
        if path not in skipped
    }
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

    def unwrap(layer):
        if not isinstance(layer, keras.layers.Layer):
            return layer  # a bare operation, such as `x + y`
        if isinstance(layer, layers.Masked):
            layer = layer.layer
        return _copy_layer(layer)

    plain = keras.models.clone_model(
        model, clone_function=unwrap, recursive=True
    )
    _copy_variables(model, plain)
    return plain


def maskable(model):
    """Map the paths of a model's maskable kernels to the kernels.

    Raises:
        TypeError: it is no Keras model.
        ValueError: it is not built, or has no such kernel.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            "`model` must be a Keras 3 model (`import keras`). Received: "
            f"{model!r} of type {type(model)}"
        )
    if not model.built:
        raise ValueError(
            "`model` must be built: call it once, or begin it with "
            f"`keras.Input`. Received: {model.name!r}, which is not"
        )
    if any(isinstance(la, layers.Masked) for _, la in structure.walk(model)):
        raise ValueError(
            "`model` must not be masked already: call `rigl_tf.strip` first. "
            f"Received: {model.name!r}"
        )
    kernels = layers.maskable_kernels(model)
    if not kernels:
        raise ValueError(
            "`model` has no kernel to mask: masks are for trainable kernels of "
            "rank 2 or more (Dense, Conv, GRU, ...). Received: "
            f"{model.name!r} with the layers "
            f"{', '.join(layer.name for layer in model.layers)}"
        )
    return kernels


def _wrap(model, sparsities):
    """Clone the model; wrap layers that hold a kernel with a sparsity."""

    def wrap(layer):
        if not isinstance(layer, keras.layers.Layer):
            return layer  # a bare operation, such as `x + y`
        inside = layers.maskable_kernels(layer)
        held = {
            path: sparsities[id(kernel)]
            for path, kernel in inside.items()
            if id(kernel) in sparsities
        }
        copy = _copy_layer(layer)
        if not held:
            return copy
        if len(held) < len(inside):
            raise ValueError(
                "`dense_layers` must name all kernels of a layer or none. "
                f"Received: patterns that name some kernels of {layer.name!r}"
            )
        return layers.Masked(copy, sparsities=held)

    masked = keras.models.clone_model(
        model, clone_function=wrap, recursive=True
    )
    _copy_variables(model, masked)
    return masked


def _copy_layer(layer):
    """Build a fresh layer of the same configuration and shapes."""
    copy = type(layer).from_config(layer.get_config())
    if layer.built and layer.get_build_config() is not None:
        copy.build_from_config(layer.get_build_config())
    return copy


def _copy_variables(source, target):
    """Copy the variables that both models have; masks exist in one only."""
    originals = structure.variables_by_path(source)
    copies = structure.variables_by_path(target)
    for path in originals.keys() & copies.keys():
        copies[path].assign(originals[path])


def _draw_masks(model, seed):
    for item in masked_kernels(model):
        n_active = masks.n_ones(item.size, item.sparsity)
        mask = masks.random_mask(
            tuple(item.kernel.shape),
            n_active,
            masks.stateless_seed(seed, item.path, "first_mask"),
        )
        set_mask(item, mask)


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
