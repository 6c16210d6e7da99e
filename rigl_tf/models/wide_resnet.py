"""WideResNet for CIFAR."""

from collections.abc import Sequence

import keras

from rigl_tf import checks
from rigl_tf.models import blocks


def wide_resnet(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    depth: int = 22,
    width: float = 2,
    dropout: float = 0.3,
) -> keras.Model:
    """Build a WideResNet, with normalization before the activation.

    1,079,642 trainable parameters at depth 22, width 2 and 10 classes, of which
    all kernels except the first convolution have 1,076,480. Kernels are Glorot
    uniform. Shortcuts of blocks that change the number of channels project the
    activated input.

    Args:
        input_shape: [height, width, channels], e.g. (32, 32, 3).
        n_classes: number of logits.
        depth: 6 n + 4 for n blocks in each of the three groups.
        width: multiplies the numbers of channels 16, 32, 64 of the groups.
        dropout: dropout rate between the two convolutions of a block.

    Returns:
        Keras model: images [batch, *input_shape] -> logits [batch, n_classes].

    Reference: Zagoruyko & Komodakis 2016; as in the original code.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 10:
        n_blocks, rest = 0, 1
    else:
        n_blocks, rest = divmod(depth - 4, 6)
    if rest:
        raise ValueError(
            "`depth` must be 6 n + 4 with n at least 1, e.g. 16, 22 or 28. "
            f"Received: depth={depth!r}"
        )
    checks.above("width", width, 0)
    inputs = keras.Input(tuple(input_shape))
    x = _conv(inputs, 16, 3, 1, "conv1")
    for group in (1, 2, 3):
        filters = blocks.scaled(8 * 2**group, width)
        for number in range(1, n_blocks + 1):
            strides = 2 if group > 1 and number == 1 else 1
            name = f"group{group}_block{number}"
            x = _block(x, filters, strides, dropout, name)
    x = blocks.batch_norm(x, name="last")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    logits = keras.layers.Dense(n_classes, name="fc")(x)
    return keras.Model(inputs, logits, name=f"wide_resnet_{depth}_{width:g}")


def _block(x, filters, strides, dropout, name):
    y = blocks.batch_norm(x, name=f"{name}_1")
    if x.shape[-1] != filters or strides > 1:
        x = _conv(y, filters, 1, strides, f"{name}_shortcut")
    y = _conv(y, filters, 3, strides, f"{name}_conv1")
    y = blocks.batch_norm(y, name=f"{name}_2")
    y = keras.layers.Dropout(dropout, name=f"{name}_dropout")(y)
    y = _conv(y, filters, 3, 1, f"{name}_conv2")
    return keras.layers.Add(name=f"{name}_add")([x, y])


def _conv(x, filters, size, strides, name):
    return blocks.conv(
        x,
        filters,
        size,
        strides,
        name=name,
        symmetric=False,
        init=keras.initializers.GlorotUniform(),
    )
