"""Layers and blocks that the convolutional networks share."""

import keras


def check_width(width):
    """Raise if a width multiplier is no positive number."""
    if isinstance(width, bool) or not isinstance(width, (int, float)):
        raise TypeError(f"`width` must be a number. Received: width={width!r}")
    if not 0 < width < float("inf"):
        raise ValueError(
            "`width` must be positive and finite: it multiplies the number of "
            f"channels. Received: width={width!r}"
        )


def scaled(channels, width):
    """Return `int(channels * width)`, at least 1."""
    return max(1, int(channels * width))


def divisible(channels, divisor=8):
    """Round to a multiple of `divisor`, never more than 10 % down.

    Reference: Howard et al. 2017; as in the MobileNets of the original code.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def fan_in(scale=1.0):
    """Draw truncated normal values of variance scale / fan_in.

    One initialiser per layer: an instance repeats its values.
    """
    return keras.initializers.VarianceScaling(scale)


def conv(x, filters, size, strides=1, *, name, symmetric=True, init=None):
    """Apply a convolution without bias.

    Args:
        x: images [batch, height, width, channels].
        filters: output channels.
        size: kernel size.
        strides: of the convolution.
        name: of the layer.
        symmetric: whether strided convolutions pad alike on both sides, as
            the original code, or as Keras' "same" does.
        init: initialiser of the kernel, `fan_in()` by default.
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


def depthwise_conv(x, strides, *, name):
    """Apply a 3x3 depthwise convolution without bias, padded alike."""
    padding = "same"
    if strides > 1:
        x, padding = pad(x, 3, name), "valid"
    return keras.layers.DepthwiseConv2D(
        3, strides, padding=padding, use_bias=False, name=name
    )(x)


def pad(x, size, name):
    """Pad with (size - 1) zeros per dimension, half before, half after."""
    if size == 1:
        return x
    before = (size - 1) // 2
    sides = (before, size - 1 - before)
    return keras.layers.ZeroPadding2D((sides, sides), name=f"{name}_pad")(x)


def batch_norm(x, *, name, gamma="ones", relu=True):
    """Normalise with momentum 0.9, epsilon 1e-5, then ReLU if asked."""
    x = keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_bn"
    )(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x


def classifier(x, n_classes, init=None):
    """Average over the image, then a dense layer of logits.

    Args:
        x: features [batch, height, width, channels].
        n_classes: number of logits.
        init: initialiser of the kernel, `fan_in()` by default.
    """
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.layers.Dense(
        n_classes,
        kernel_initializer=fan_in() if init is None else init,
        name="fc",
    )(x)
