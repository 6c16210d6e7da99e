"""VGG networks without their large dense layers."""

from collections.abc import Sequence

import keras

from rigl_tf import checks
from rigl_tf.models import blocks

_CONVOLUTIONS = {
    "a": (1, 1, 2, 2, 2),
    "16": (2, 2, 3, 3, 3),
    "19": (2, 2, 4, 4, 4),
}
_CHANNELS = (64, 128, 256, 512, 512)


def vgg(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    variant: str | int = "16",
    width: float = 1.0,
) -> keras.Model:
    """Build a VGG: 3x3 convolutions, average pooling, one 1x1 convolution.

    No biases, normalization, dropout, fc6 or fc7. 15,222,464
    parameters for variant "16" with 1,000 classes, 9,729,728 for "a" and
    20,530,880 for "19", all in kernels.

    Args:
        input_shape: [height, width, channels], e.g. (224, 224, 3).
        n_classes: number of logits.
        variant: "a", "16" or "19" (or the numbers).
        width: multiplies all numbers of channels.

    Returns:
        Keras model: images [batch, *input_shape] -> logits [batch, n_classes].

    Reference: Simonyan & Zisserman 2015; as in the original code.
    """
    variant = str(variant)
    checks.one_of("variant", variant, _CONVOLUTIONS)
    checks.above("width", width, 0)
    inputs = x = keras.Input(tuple(input_shape))
    for block, (number, channels) in enumerate(
        zip(_CONVOLUTIONS[variant], _CHANNELS), start=1
    ):
        for index in range(1, number + 1):
            x = keras.layers.Conv2D(
                blocks.scaled(channels, width),
                3,
                padding="same",
                activation="relu",
                use_bias=False,
                kernel_initializer=blocks.fan_in(2.0),
                name=f"block{block}_conv{index}",
            )(x)
        if block < len(_CHANNELS):
            x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    x = blocks.conv(x, n_classes, 1, name="fc", init=blocks.fan_in(2.0))
    logits = keras.layers.Flatten(name="logits")(x)
    return keras.Model(inputs, logits, name=f"vgg_{variant}")
