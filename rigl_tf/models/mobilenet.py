"""MobileNet v1 and v2."""

from collections.abc import Sequence

import keras

from rigl_tf import checks
from rigl_tf.models import blocks

# Channels and stride of each block.
_V1 = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
_V2 = (
    (16, 1),
    (24, 2),
    (24, 1),
    (32, 2),
    *[(32, 1)] * 2,
    (64, 2),
    *[(64, 1)] * 3,
    *[(96, 1)] * 3,
    (160, 2),
    *[(160, 1)] * 2,
    (320, 1),
)


def mobilenet_v1(
    input_shape: Sequence[int], n_classes: int, *, width: float = 1.0
) -> keras.Model:
    """Build MobileNet-v1: alternating depthwise and pointwise convolutions.

    4,231,976 trainable parameters with 1,000 classes, of which the pointwise
    convolutions and the classifier have 4,163,584. ReLU, not ReLU6.

    Args:
        input_shape: [height, width, channels], e.g. (224, 224, 3).
        n_classes: number of logits.
        width: multiplies all numbers of channels; these are then rounded to
            multiples of 8, except for the first pointwise convolution.

    Returns:
        Keras model: images [batch, *input_shape] -> logits [batch, n_classes].

    Reference: Howard et al. 2017; as in the original code.
    """
    checks.above("width", width, 0)
    inputs = keras.Input(tuple(input_shape))
    x = _stem(inputs, width)
    for number, (channels, strides) in enumerate(_V1, start=1):
        name = f"block{number}_depthwise"
        x = blocks.depthwise_conv(x, strides, name=name)
        x = blocks.batch_norm(x, name=name)
        filters = blocks.divisible(
            blocks.scaled(channels, width), 1 if number == 1 else 8
        )
        name = f"block{number}_pointwise"
        x = blocks.conv(x, filters, 1, name=name)
        x = blocks.batch_norm(x, name=name)
    logits = blocks.classifier(x, n_classes)
    return keras.Model(inputs, logits, name="mobilenet_v1")


def mobilenet_v2(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    width: float = 1.0,
    expansion: float = 6,
) -> keras.Model:
    """Build MobileNet-v2: inverted residual blocks.

    3,504,872 trainable parameters with 1,000 classes, of which the 1x1
    convolutions and the classifier have 3,404,672. ReLU, not ReLU6.

    Args:
        input_shape: [height, width, channels], e.g. (224, 224, 3).
        n_classes: number of logits.
        width: multiplies all numbers of channels; these are then rounded to
            multiples of 8, except for the first block. The last convolution
            keeps at least 1,280.
        expansion: channels inside a block per channel of its input; the first
            block does not expand.

    Returns:
        Keras model: images [batch, *input_shape] -> logits [batch, n_classes].

    Reference: Sandler et al. 2018; as in the original code.
    """
    checks.above("width", width, 0)
    inputs = keras.Input(tuple(input_shape))
    x = _stem(inputs, width)
    for number, (channels, strides) in enumerate(_V2, start=1):
        is_first = number == 1
        filters = blocks.divisible(
            blocks.scaled(channels, width), 1 if is_first else 8
        )
        factor = None if is_first else expansion
        x = _inverted_residual(x, filters, strides, factor, f"block{number}")
    filters = max(1280, blocks.divisible(1280 * width))
    x = blocks.conv(x, filters, 1, name="conv2")
    x = blocks.batch_norm(x, name="conv2")
    logits = blocks.classifier(x, n_classes)
    return keras.Model(inputs, logits, name="mobilenet_v2")


def _stem(x, width):
    filters = blocks.divisible(32 * width)
    x = blocks.conv(x, filters, 3, 2, name="conv1")
    return blocks.batch_norm(x, name="conv1")


def _inverted_residual(x, filters, strides, expansion, name):
    y, channels = x, x.shape[-1]
    if expansion is not None:
        y = blocks.conv(y, int(expansion * channels), 1, name=f"{name}_expand")
        y = blocks.batch_norm(y, name=f"{name}_expand")
    y = blocks.depthwise_conv(y, strides, name=f"{name}_depthwise")
    y = blocks.batch_norm(y, name=f"{name}_depthwise")
    y = blocks.conv(y, filters, 1, name=f"{name}_contract")
    y = blocks.batch_norm(y, name=f"{name}_contract", relu=False)
    if strides == 1 and channels == filters:
        return keras.layers.Add(name=f"{name}_add")([x, y])
    return y
