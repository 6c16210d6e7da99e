"""Copies of models, layer by layer."""

import keras

from rigl_tf.layers import building
from rigl_tf.layers import masked
from rigl_tf.layers import model_paths


def clone(model, convert):
    """Rebuild a Sequential or functional model of converted layers.

    Models inside whose class rebuilds them are converted as one layer.
    """
    converted = {}

    def once(layer):
        # A bare operation, such as `x + y`, stays what it is.
        if not isinstance(layer, keras.layers.Layer):
            return layer
        # A model and a model inside it may share a layer.
        if id(layer) not in converted:
            converted[id(layer)] = (
                keras.models.clone_model(layer, clone_function=once)
                if model_paths.is_assembled(layer)
                else convert(layer)
            )
        return converted[id(layer)]

    for layer in _compound(model):
        copy = once(layer)
        parts = dict(_parts(copy))
        for path, part in _parts(layer):
            # The model around may call it, too: a token embedding as output.
            if path in parts:
                converted.setdefault(id(part), parts[path])
    return once(model)


def copy_layer(layer):
    """Build a fresh layer of the same configuration and shapes.

    Raises:
        ValueError: its class does not allow it.
    """
    policy = keras.config.dtype_policy()
    # Layers that a subclass creates without a type take the global one.
    keras.config.set_dtype_policy(layer.dtype_policy)
    try:
        copy = _from_config(layer)
        if layer.built:
            building.build_inside(copy, layer.get_build_config())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            "A layer or model must be rebuildable from `get_config`, as Keras "
            f"demands for saving. Received: {layer.name!r} of type "
            f"{type(layer).__name__} ({_reason(error)})"
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)
    _copy_lora(layer, copy)
    return copy


def _copy_lora(source, target):
    """Enable low-rank factors: configurations of models know nothing of them.

    The factor that they are scaled by is not even in that of a layer.
    """
    adapted = {
        path: part
        for path, part in _parts(source)
        if getattr(part, "lora_enabled", False)
    }
    for path, part in _parts(target) if adapted else ():
        if path in adapted:
            if not part.lora_enabled:
                part.enable_lora(adapted[path].lora_rank)
            part.lora_alpha = adapted[path].lora_alpha


def copy_state(source, target):
    """Copy what is frozen, and the variables of both; masks are in one only."""
    parts = dict(_parts(target))
    for path, part in _parts(source):
        if path in parts and parts[path].trainable != part.trainable:
            parts[path].trainable = part.trainable
    originals = _without_masks(source)
    copies = _without_masks(target)
    for path in originals.keys() ^ copies.keys():
        lacks = "lacks" if path in originals else "has besides"
        raise ValueError(
            "A layer or model must have the same variables when it is "
            "rebuilt by `build_from_config`. Received: "
            f"{source.name!r}, whose copy {lacks} {path!r}"
        )
    for path, variable in originals.items():
        copies[path].assign(variable)
        if copies[path].trainable != variable.trainable:
            copies[path].trainable = variable.trainable


def _compound(model):
    """List layers with layers inside that are copied as one, in a graph."""
    if model_paths.is_assembled(model):
        return [part for layer in model.layers for part in _compound(layer)]
    return [model] if model_paths.sublayers(model) else []


def _parts(layer):
    """List `(path, layer)` of a layer and of all inside, wrappers left out."""
    return [
        (path, part)
        for path, part in model_paths.walk(layer)
        if not getattr(part, "transparent_path", False)
    ]


def _without_masks(model):
    """Map paths to the variables of a model that are no masks."""
    masks = {
        id(variable)
        for _, layer in model_paths.walk(model)
        if isinstance(layer, masked.Masked)
        for variable in model_paths.own_variables(layer)
    }
    return {
        path: variable
        for path, variable in model_paths.variables_by_path(model).items()
        if id(variable) not in masks
    }


def _from_config(layer):
    if isinstance(layer, keras.layers.Lambda):
        # Keras would load no lambda; nothing is loaded here.
        config = keras.layers.Layer.get_config(layer)
        return type(layer)(
            layer.function,
            output_shape=layer._output_shape,
            mask=layer.mask,
            arguments=layer.arguments,
            **config,
        )
    config = layer.get_config()
    try:
        return type(layer).from_config(config)
    except TypeError:  # a constructor without **kwargs
        base = ("name", "trainable", "dtype")
        own = {k: v for k, v in config.items() if k not in base}
        return type(layer)(**own)


def _reason(error):
    """Return Keras' message in one line, without its example code."""
    return " ".join(str(error).split("Example:")[0].split())
