"""Refuse what would lose masks, or weights, without a word."""

import functools

import numpy as np

from rigl_tf.layers import model_paths

_CURE = (
    "load dense weights into the dense model, then mask it by "
    '`rigl_tf.sparsify(model, sparsity, first_mask="magnitude")`'
)


def refuse_changes_of_kernels(layer, kernels):
    """Let the layers of masked kernels refuse what replaces these by others.

    The methods of Keras would leave masks that mask nothing: `quantize` puts
    integers in place of the kernel (and `Model.quantize` calls it for every
    layer), `enable_lora` adds a dense product to it.

    Args:
        layer: Keras layer that holds them; changed in place.
        kernels: list of its masked kernels.
    """
    masked = {id(kernel) for kernel in kernels}
    for _, part in model_paths.walk(layer):
        own = {id(variable) for variable in model_paths.own_variables(part)}
        for name in ("quantize", "enable_lora") if own & masked else ():
            if hasattr(part, name):
                refusal = functools.partial(refuse, part.name, name)
                setattr(part, name, refusal)


def refuse(layer_name, method, *args, **kwargs):
    """Raise ValueError, whatever the arguments of the method."""
    raise ValueError(
        f"`{method}` would replace a masked kernel: call it on "
        f"`rigl_tf.strip(model)`. Received: masked layer {layer_name!r}"
    )


def require_masks(store, masks):
    """Raise ValueError unless a store of weights holds masks.

    Args:
        store: mapping from "0", "1", ... to arrays, as Keras gives it to
            `load_own_variables`.
        masks: list of the mask variables.
    """
    names = list(map(str, range(len(masks))))
    are_masks = set(store.keys()) == set(names) and all(
        _is_mask(np.asarray(store[name]), tuple(mask.shape))
        for name, mask in zip(names, masks)
    )
    if not are_masks:
        raise ValueError(
            "A masked model must be given weights that were saved with masks. "
            f"Received: weights without them; {_CURE}"
        )


def _is_mask(array, shape):
    return array.shape == shape and np.isin(array, (0, 1)).all()


def refuse_dense_weights(model):
    """Let `set_weights` of a masked model name the cure for dense weights.

    Args:
        model: masked Keras model of any class; changed in place.
    """
    set_weights = model.set_weights

    def checked(weights):
        if len(weights) != len(model.weights):
            raise ValueError(
                "`set_weights` of a masked model takes its weights and masks, "
                f"{len(model.weights)} arrays. Received: {len(weights)}; "
                f"{_CURE}"
            )
        set_weights(weights)

    model.set_weights = checked
