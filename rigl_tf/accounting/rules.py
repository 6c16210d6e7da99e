"""The rules by which a model is counted."""

import keras

from rigl_tf import checks
from rigl_tf.accounting import exact
from rigl_tf.accounting import micronet
from rigl_tf.layers import model_paths

RULES = {"exact": exact.count, "published": micronet.count}


def count(model, *, rule="exact", sparsities=None, input_shapes=None):
    """Count the operations of one inference, the parameters and the bytes.

        rigl_tf.count(keras.applications.MobileNetV2(weights=None)).flops

    Args:
        model: built Keras model of any kind, masked or plain. In a plain
            kernel, as of a stripped model, zeros count as inactive, unless
            initialisation drew them: all of a kernel, or under 1 % by chance.
        rule: "exact", the true sizes of everything that multiplies or adds
            (see `accounting.operations`), or "published", as the paper's tables
            count convolutions and dense layers (see `accounting.published`).
        sparsities: optional dictionary from kernel path to a sparsity in
            [0, 1), to count a dense model as `sparsify` would make it.
        input_shapes: shape of one example, without the batch, or a structure
            of shapes or of `keras.KerasTensor`, where the model does not tell:
            subclassed models, unknown image sizes or lengths.

    Returns:
        `ModelCount`, per example: `flops`, `multiplications`, `additions`,
        `parameters`, `active`, `bytes`, `csr_bytes`, the same of the `dense`
        model, and `layers`.

    Raises:
        TypeError: it is no Keras model.
        ValueError: a size is unknown, or what a layer costs; the message names
            the layer.
    """
    model = model_paths.inside_training(model)
    model_paths.require_built(model, keras.layers.Layer)
    checks.one_of("rule", rule, RULES)
    return RULES[rule](model, sparsities=sparsities, input_shapes=input_shapes)
