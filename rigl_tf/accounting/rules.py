"""Count a model by one of two rules."""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras

from rigl_tf import checks
from rigl_tf.accounting import costs
from rigl_tf.accounting import exact
from rigl_tf.accounting import micronet
from rigl_tf.layers import model_paths

RULES: dict[str, Callable[..., costs.ModelCount]] = {
    "exact": exact.count,
    "published": micronet.count,
}


def count(
    model: keras.Layer,
    *,
    rule: str = "exact",
    sparsities: Mapping[str, float] | None = None,
    input_shapes: Any = None,
) -> costs.ModelCount:
    """Count the operations of one inference, the parameters and the bytes.

        rigl_tf.count(keras.applications.MobileNetV2(weights=None)).flops

    Args:
        model: built Keras model of any kind, masked or plain. In a plain
            kernel, e.g. of a stripped model, zeros count as inactive, unless an
            initializer drew them: all of a kernel, or less than 1% by chance.
        rule: "exact", the true sizes of all operations that multiply or add
            (see `accounting.operations`), or "published", the rule by which the
            paper's tables count convolutions and dense layers (see
            `accounting.micronet`).
        sparsities: optional dictionary from kernel path to a sparsity in
            [0, 1), to count a dense model as `sparsify` would make it.
        input_shapes: shape of one example, without the batch, or a structure
            of shapes or of `keras.KerasTensor`; required if the model does not
            define it: subclassed models, unknown image sizes or lengths.

    Returns:
        `ModelCount`, per example: `flops`, `multiplications`, `additions`,
        `parameters`, `active`, `bytes`, `csr_bytes`, the same of the `dense`
        model, and `layers`.

    Raises:
        TypeError: if `model` is not a Keras model or layer.
        ValueError: if a size is unknown, or a layer cannot be counted; the
            message names the layer.
    """
    model = model_paths.inside_training(model)
    model_paths.require_built(model, keras.layers.Layer)
    checks.one_of("rule", rule, RULES)
    return RULES[rule](model, sparsities=sparsities, input_shapes=input_shapes)
