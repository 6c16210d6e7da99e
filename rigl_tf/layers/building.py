"""Build wrapped layers, and give wrappers the call signature of the layer.

Keras has no public way to do either. The private names below were seen in Keras
3.12 to 3.15.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import inspect
from typing import Any
import warnings

import keras
from keras.src.backend.common import global_state


def build_inside(layer: keras.Layer, config: Mapping[str, Any] | None) -> None:
    """Build a layer from its build configuration, unless it is built.

    Args:
        layer: Keras layer.
        config: build configuration, as `get_build_config` returns it.

    Raises:
        TypeError: if Keras cannot build the layer from it.
    """
    if layer.built or config is None:
        return
    own_build = type(layer).build is not keras.layers.Layer.build
    # `_layers` lists the direct sublayers. Without this branch, layers that
    # create their sublayers in `__init__` stay unbuilt: test_your_model,
    # `test_layers_without_build_are_taken`.
    if layer._layers and not own_build and not isinstance(layer, keras.Model):
        try:
            _build_by_call(layer, config)
        except (KeyError, TypeError):  # several inputs: built when called
            return
    else:
        with warnings.catch_warnings():
            # Keras only warns about layers that it cannot build.
            unbuilt = ".*cannot be built automatically"
            warnings.filterwarnings("error", unbuilt, UserWarning)
            try:
                layer.build_from_config(config)
            except UserWarning as warning:
                raise TypeError(str(warning)) from warning
    layer.built = True


def _build_by_call(layer, config):
    """Build a layer that contains layers, but has no `build` of its own."""
    layer(
        keras.tree.map_shape_structure(
            lambda shape: keras.KerasTensor(shape, layer.input_dtype),
            config["input_shape"],
        )
    )


def call_alike(wrapper: keras.Layer, layer: keras.Layer) -> None:
    """Make Keras call a wrapper with the arguments of the layer inside.

    Keras reads from the signature of `call` whether to pass `training`, `mask`
    or `initial_state`.

    Args:
        wrapper: the wrapper, whose `call` takes any arguments.
        layer: the layer inside.
    """
    # `Layer.__init__` derives these from `call`. Without the signature, Keras
    # passes a wrapper no shapes and no `initial_state`: test_masked,
    # `test_the_wrapper_computes_what_the_layer_does`. `Model.fit` reads
    # `_call_has_training_arg`; Keras 3.15 no longer reads `_call_has_mask_arg`.
    wrapper._call_signature = inspect.signature(layer.call)
    wrapper._call_has_training_arg = layer._call_has_training_arg
    wrapper._call_has_mask_arg = layer._call_has_mask_arg
    wrapper.supports_masking = layer.supports_masking


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Build networks without values, and make Keras forget their variables.

    Keras (3.15) puts each variable that is created in a stateless scope into a
    global list, and initializes it when the next such scope ends, e.g. that of
    a symbolic call of a Lambda layer. If they stayed in the list, all networks
    of a search would remain in memory and be allocated then: test_widths,
    `test_finding_a_width_leaves_no_variables_behind`.
    """
    found = _uninitialized()
    others = list(found)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        # Change the list in place, because Keras holds it. If an inner scope
        # has replaced it, all variables in the old list are initialized.
        left = _uninitialized()
        left[:] = [v for v in left if any(v is other for other in others)]


def _uninitialized():
    return global_state.get_global_attribute(
        "uninitialized_variables", [], set_to_default=True
    )
