"""Refuse operations that would silently lose masks or weights."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Any
from typing import NoReturn

import keras
import numpy as np

from rigl_tf.layers import model_paths

_CURE = (
    "load dense weights into the dense model, then mask it by "
    '`rigl_tf.sparsify(model, sparsity, first_mask="magnitude")`'
)


def refuse_changes_of_kernels(
    layer: keras.Layer, kernels: Iterable[keras.Variable]
) -> None:
    """Make layers refuse methods that replace their masked kernels.

    The methods of Keras would leave the mask without its kernel: `quantize`
    replaces the kernel by integers (and `Model.quantize` calls it for every
    layer), `enable_lora` adds a dense product to it.

    Args:
        layer: Keras layer with the kernels; changed in place.
        kernels: list of its masked kernels.
    """
    masked = {id(kernel) for kernel in kernels}
    for _, part in model_paths.walk(layer):
        own = {id(variable) for variable in model_paths.own_variables(part)}
        for name in ("quantize", "enable_lora") if own & masked else ():
            if hasattr(part, name):
                refusal = functools.partial(refuse, part.name, name)
                setattr(part, name, refusal)


def refuse(layer_name: str, method: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raise ValueError for a method that would replace a masked kernel.

    Args:
        layer_name: name of the masked layer.
        method: name of the method.
        *args: ignored.
        **kwargs: ignored.
    """
    raise ValueError(
        f"`{method}` would replace a masked kernel: call it on "
        f"`rigl_tf.strip(model)`. Received: masked layer {layer_name!r}"
    )


def require_masks(
    store: Mapping[str, Any], masks: Sequence[keras.Variable]
) -> None:
    """Raise ValueError unless a store of weights contains masks.

    Args:
        store: mapping from "0", "1", ... to arrays, as Keras passes it to
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


def refuse_dense_weights(model: keras.Model) -> None:
    """Make `set_weights` of a masked model explain how to load dense weights.

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
