"""Copies of models, layer by layer."""

import keras

from rigl_tf import layers
from rigl_tf import structure


def clone(model, convert):
    """Rebuild a Sequential or functional model of converted layers."""
    converted = {}

    def once(layer):
        # A model and a model inside it may share a layer.
        if id(layer) not in converted:
            converted[id(layer)] = convert(layer)
        return converted[id(layer)]

    return keras.models.clone_model(
        model,
        # A bare operation, such as `x + y`, stays what it is.
        clone_function=lambda layer: (
            once(layer) if isinstance(layer, keras.layers.Layer) else layer
        ),
        recursive=True,
    )


def copy_layer(layer):
    """Build a fresh layer of the same configuration and shapes.

    Raises:
        ValueError: its class does not allow it.
    """
    policy = keras.config.dtype_policy()
    # Layers that a subclass creates without a type take the global one.
    keras.config.set_dtype_policy(layer.dtype_policy)
    try:
        config = layer.get_config()
        try:
            copy = type(layer).from_config(config)
        except TypeError:  # a constructor without **kwargs
            base = ("name", "trainable", "dtype")
            own = {k: v for k, v in config.items() if k not in base}
            copy = type(layer)(**own)
        if layer.built:
            layers.build_inside(copy, layer.get_build_config())
    except (TypeError, NotImplementedError) as error:
        raise ValueError(
            "A layer or model must be rebuildable from `get_config`, as Keras "
            f"demands for saving. Received: {layer.name!r} of type "
            f"{type(layer).__name__} ({str(error).strip().splitlines()[0]})"
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)
    return copy


def copy_variables(source, target):
    """Copy the variables that both models have; masks exist in one only."""
    originals = structure.variables_by_path(source)
    copies = structure.variables_by_path(target)
    masked = [layer for _, layer in structure.walk(source)]
    masks_of = {
        id(variable)
        for layer in masked
        if isinstance(layer, layers.Masked)
        for variable in structure.own_variables(layer)
    }
    for path, variable in originals.items():
        if path in copies:
            copies[path].assign(variable)
        elif id(variable) not in masks_of:
            raise ValueError(
                "A layer or model must have the same variables when it is "
                "rebuilt by `build_from_config`. Received: "
                f"{source.name!r}, whose copy lacks {path!r}"
            )
