"""Layers and blocks that several convolutional networks use."""

import keras


def scaled(channels: int, width: float) -> int:
    """Return `int(channels * width)`, at least 1."""
    return max(1, int(channels * width))


def divisible(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, but never down by more than 10%.

    Reference: Howard et al. 2017; as in the MobileNets of the original code.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def fan_in(scale: float = 1.0) -> keras.Initializer:
    """Return an initializer: truncated normal, of variance scale / fan_in.

    Each layer needs its own: an instance repeats its values.
    """
    return keras.initializers.VarianceScaling(scale)


def conv(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    strides: int = 1,
    *,
    name: str,
    symmetric: bool = True,
    init: keras.Initializer | None = None,
) -> keras.KerasTensor:
    """Apply a convolution without bias.

    Args:
        x: images [batch, height, width, channels].
        filters: number of output channels.
        size: height and width of the kernel.
        strides: stride of the convolution.
        name: name of the layer.
        symmetric: whether strided convolutions pad both sides equally, as in
            the original code; if not, they pad as Keras does for "same".
        init: initializer of the kernel, `fan_in()` by default.
    """
    padding = "same"
    if symmetric and strides > 1:
        x, padding = pad(x, size, name), "valid"
    return keras.layers.Conv2D(
        filters,
        size,
        strides,
        padding=padding,
        use_bias=False,
        kernel_initializer=fan_in() if init is None else init,
        name=name,
    )(x)


def depthwise_conv(
    x: keras.KerasTensor, strides: int, *, name: str
) -> keras.KerasTensor:
    """Apply a 3x3 depthwise convolution without bias, padded symmetrically."""
    padding = "same"
    if strides > 1:
        x, padding = pad(x, 3, name), "valid"
    return keras.layers.DepthwiseConv2D(
        3, strides, padding=padding, use_bias=False, name=name
    )(x)


def pad(x: keras.KerasTensor, size: int, name: str) -> keras.KerasTensor:
    """Pad with (size - 1) zeros per dimension, half before and half after."""
    if size == 1:
        return x
    before = (size - 1) // 2
    sides = (before, size - 1 - before)
    return keras.layers.ZeroPadding2D((sides, sides), name=f"{name}_pad")(x)


def batch_norm(
    x: keras.KerasTensor, *, name: str, gamma: str = "ones", relu: bool = True
) -> keras.KerasTensor:
    """Normalize with momentum 0.9 and epsilon 1e-5, then apply ReLU.

    Args:
        x: features [batch, ..., channels].
        name: prefix of the names of the layers.
        gamma: initializer of the scale.
        relu: whether to apply ReLU.
    """
    x = keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_bn"
    )(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


def classifier(
    x: keras.KerasTensor, n_classes: int, init: keras.Initializer | None = None
) -> keras.KerasTensor:
    """Average over the image, then apply a dense layer of logits.

    Args:
        x: features [batch, height, width, channels].
        n_classes: number of logits.
        init: initializer of the kernel, `fan_in()` by default.
    """
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.layers.Dense(
        n_classes,
        kernel_initializer=fan_in() if init is None else init,
        name="fc",
    )(x)
