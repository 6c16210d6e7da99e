"""Build the layers inside a layer that has not been called yet."""

import inspect
import warnings

import keras


def build_inside(layer, config):
    """Build a layer from a build configuration, if it is not built.

    Raises:
        TypeError: Keras cannot build it so.
    """
    if layer.built or config is None:
        return
    own_build = type(layer).build is not keras.layers.Layer.build
    if layer._layers and not own_build and not isinstance(layer, keras.Model):
        try:
            _build_by_call(layer, config)
        except (KeyError, TypeError):  # several inputs: its first call does
            return
    else:
        with warnings.catch_warnings():
            # What Keras cannot build, it warns of and leaves.
            unbuilt = ".*cannot be built automatically"
            warnings.filterwarnings("error", unbuilt, UserWarning)
            try:
                layer.build_from_config(config)
            except UserWarning as warning:
                raise TypeError(str(warning)) from warning
    layer.built = True


def _build_by_call(layer, config):
    """Build a layer that has layers inside, but no `build` of its own."""
    layer(
        keras.tree.map_shape_structure(
            lambda shape: keras.KerasTensor(shape, layer.input_dtype),
            config["input_shape"],
        )
    )


def call_alike(wrapper, layer):
    """Let Keras pass to a wrapper what it would pass to the layer inside.

    Keras reads from signatures whether to pass `training`, `mask` or
    `initial_state` on.
    """
    wrapper._call_signature = inspect.signature(layer.call)
    wrapper._call_has_training_arg = layer._call_has_training_arg
    wrapper._call_has_mask_arg = layer._call_has_mask_arg
    wrapper.supports_masking = layer.supports_masking
