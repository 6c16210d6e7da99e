"""Copy models layer by layer, and copy the state of one to another."""

from collections.abc import Callable

import keras

from rigl_tf.layers import building
from rigl_tf.layers import masked
from rigl_tf.layers import model_paths
from rigl_tf.layers import sparse_kernels


def clone(
    model: keras.Model, convert: Callable[[keras.Layer], keras.Layer]
) -> keras.Model:
    """Rebuild a Sequential or functional model from converted layers.

    Nested models that are rebuilt by their class are converted as one layer.

    Args:
        model: built Sequential or functional model.
        convert: function from a layer to its replacement.
    """
    converted: dict[int, keras.Layer] = {}

    def once(layer):
        # An operation outside of layers, such as `x + y`, is reused.
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
            # The outer model may call it too, e.g. a tied token embedding.
            if path in parts:
                converted.setdefault(id(part), parts[path])
    return once(model)


def copy_layer(layer: keras.Layer) -> keras.Layer:
    """Build a fresh layer with the same configuration and shapes.

    Args:
        layer: Keras layer or model.

    Raises:
        ValueError: if the layer cannot be rebuilt from its configuration.
    """
    policy = keras.config.dtype_policy()
    # Sublayers that are created without a dtype policy take the global one.
    keras.config.set_dtype_policy(layer.dtype_policy)
    try:
        copy = _from_config(layer)
        if layer.built:
            building.build_inside(copy, layer.get_build_config())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            "A layer or model must be rebuildable from `get_config`, as Keras "
            f"requires for saving. Received: {layer.name!r} of type "
            f"{type(layer).__name__} ({_reason(error)})"
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)
    _copy_lora(layer, copy)
    return copy


def _copy_lora(source, target):
    """Enable low-rank factors, which configurations of models do not contain.

    The factor `lora_alpha` is not even in the configuration of the layer.
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


def copy_state(source: keras.Layer, target: keras.Layer) -> None:
    """Copy variables and `trainable` flags; masks in only one are ignored.

    Kernels that are truly sparse in only one are not copied: whoever converts
    the layer converts them.

    Args:
        source: layer or model to copy from.
        target: layer or model to copy to, with the same structural paths.

    Raises:
        ValueError: if the two have different variables.
    """
    parts = dict(_parts(target))
    for path, part in _parts(source):
        if path in parts and parts[path].trainable != part.trainable:
            parts[path].trainable = part.trainable
    converted = _sparse_paths(source) ^ _sparse_paths(target)
    originals = _plain_variables(source, converted)
    copies = _plain_variables(target, converted)
    for path in originals.keys() ^ copies.keys():
        lacks = "lacks" if path in originals else "also has"
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
    """List the layers with sublayers that are copied as a whole."""
    if model_paths.is_assembled(model):
        return [part for layer in model.layers for part in _compound(layer)]
    return [model] if model_paths.sublayers(model) else []


def _parts(layer):
    """List `(path, layer)` of a layer and its sublayers, without wrappers."""
    return [
        (path, part)
        for path, part in model_paths.walk(layer)
        if not getattr(part, "transparent_path", False)
    ]


def _sparse_paths(model):
    return {kernel.path for kernel in sparse_kernels.sparse_kernels(model)}


def _plain_variables(model, converted):
    """Map paths to the variables of a model, without masks.

    Kernels at the paths `converted`, truly sparse or dense, are left out.
    """
    ignored = {
        id(variable)
        for _, layer in model_paths.walk(model)
        if isinstance(layer, masked.Masked)
        for variable in model_paths.own_variables(layer)
    }
    for kernel in sparse_kernels.sparse_kernels(model):
        if kernel.path in converted:
            indices = kernel.layer.structure_variables
            ignored |= {id(v) for v in (kernel.kernel, *indices)}
    return {
        path: variable
        for path, variable in model_paths.variables_by_path(model).items()
        if id(variable) not in ignored and path not in converted
    }


def _from_config(layer):
    if isinstance(layer, keras.layers.Lambda):
        # Keras refuses to deserialize Python lambdas: reuse the function. The
        # output shape has no public name in Keras 3.15; without it, the shape
        # of a copy must be inferred. test_modern_models copies Lambda layers.
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
    """Return Keras' message as one line, without its example code."""
    return " ".join(str(error).split("Example:")[0].split())
