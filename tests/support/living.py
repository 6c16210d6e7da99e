"""Networks whose outputs depend on their inputs, for tests of exports."""

import keras
import numpy as np

import rigl_tf


def images(n, size, seed=0):
    """Draw images [n, size, size, 3]."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((n, size, size, 3)).astype(np.float32)


def small(padding="same", keepdims=False, size=16, widths=(32, 64, 96)):
    """Build a small network of MobileNet's kind.

    Args:
        padding: "same", or "each side" for what XNNPACK runs sparsely.
        keepdims: whether the mean over the image keeps its axes.
        size: height and width of images.
        widths: channels of the three convolutions.
    """
    layers = keras.layers

    def strided(x, layer):
        if padding == "each side":
            x = layers.ZeroPadding2D(1)(x)
        x = layer(x)
        return layers.ReLU(6.0)(layers.BatchNormalization()(x))

    kind = "same" if padding == "same" else "valid"
    x = inputs = keras.Input((size, size, 3))
    x = strided(x, layers.Conv2D(widths[0], 3, 2, kind, use_bias=False))
    x = layers.ReLU(6.0)(layers.Conv2D(widths[1], 1)(x))
    x = strided(x, layers.DepthwiseConv2D(3, 2, kind, use_bias=False))
    x = layers.ReLU(6.0)(layers.Conv2D(widths[2], 1)(x))
    x = layers.GlobalAveragePooling2D(keepdims=keepdims)(x)
    if keepdims:
        x = layers.Flatten()(layers.Conv2D(10, 1)(x))
    else:
        x = layers.Dense(10)(x)
    return keras.Model(inputs, x)


def sparse(model, sparsity, size):
    """Return a stripped sparse copy, with statistics of a batch of images.

    With drawn statistics the outputs of a network of random weights hardly
    depend on the image, and comparing them would prove nothing.
    """
    plain = rigl_tf.strip(rigl_tf.sparsify(model, sparsity))
    for layer in plain._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    plain(images(16, size), training=True)
    a, b = np.asarray(plain(images(2, size, seed=1)))
    assert np.abs(a - b).max() > 0.1 * np.abs(a).max()
    return plain
