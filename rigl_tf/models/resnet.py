"""ResNet v1.5 for ImageNet, also with a stem for CIFAR."""

from collections.abc import Sequence
from typing import Literal

import keras

from rigl_tf import checks
from rigl_tf.models import blocks

_BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
_STEMS = ("imagenet", "cifar")


def resnet(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    depth: Literal[18, 34, 50, 101, 152, 200] = 50,
    width: float = 1.0,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    zero_gamma: bool = True,
    symmetric_padding: bool = True,
) -> keras.Model:
    """Build a ResNet v1.5: the 3x3 convolution of a block has the stride.

    25,557,032 trainable parameters at depth 50 with 1,000 classes. The first
    block of every group projects its shortcut. Convolutions are initialized
    with variance 1 / fan_in, the classifier with N(0, 0.01).

    Args:
        input_shape: [height, width, channels], e.g. (224, 224, 3).
        n_classes: number of logits.
        depth: 18, 34 (basic blocks), 50, 101, 152 or 200 (bottlenecks).
        width: multiplies all numbers of channels.
        stem: "imagenet", a 7x7 convolution of stride 2 and max-pooling, or
            "cifar", a 3x3 convolution.
        zero_gamma: whether the last normalization of each block starts with
            gamma 0, so that blocks start as identities.
        symmetric_padding: whether strided convolutions pad both sides equally;
            if not, they pad as Keras does for "same". The stem always pads
            both sides equally.

    Returns:
        Keras model: images [batch, *input_shape] -> logits [batch, n_classes].

    Reference: He et al. 2016; Goyal et al. 2017; as in the original code.
    """
    checks.one_of("depth", depth, _BLOCKS)
    checks.one_of("stem", stem, _STEMS)
    checks.above("width", width, 0)
    inputs = keras.Input(tuple(input_shape))
    x = _stem(inputs, blocks.scaled(64, width), stem)
    block = _basic if depth < 50 else _bottleneck
    options = {
        "gamma": "zeros" if zero_gamma else "ones",
        "symmetric": symmetric_padding,
    }
    for group, n_blocks in enumerate(_BLOCKS[depth], start=1):
        filters = blocks.scaled(32 * 2**group, width)
        for number in range(1, n_blocks + 1):
            strides = 2 if group > 1 and number == 1 else 1
            name = f"group{group}_block{number}"
            x = block(x, filters, strides, number == 1, name, **options)
    init = keras.initializers.RandomNormal(stddev=0.01)
    logits = blocks.classifier(x, n_classes, init)
    return keras.Model(inputs, logits, name=f"resnet{depth}")


def _stem(x, filters, stem):
    if stem == "cifar":
        x = blocks.conv(x, filters, 3, name="conv1")
        return blocks.batch_norm(x, name="conv1")
    x = blocks.conv(x, filters, 7, 2, name="conv1")
    x = blocks.batch_norm(x, name="conv1")
    return keras.layers.MaxPooling2D(3, 2, padding="same", name="max_pool")(x)


def _basic(x, filters, strides, project, name, *, gamma, symmetric):
    y = blocks.conv(
        x, filters, 3, strides, name=f"{name}_conv1", symmetric=symmetric
    )
    y = blocks.batch_norm(y, name=f"{name}_conv1")
    y = blocks.conv(y, filters, 3, name=f"{name}_conv2")
    y = blocks.batch_norm(y, name=f"{name}_conv2", gamma=gamma, relu=False)
    shortcut = _shortcut(x, filters, strides, project, name, symmetric)
    return _join(y, shortcut, name)


def _bottleneck(x, filters, strides, project, name, *, gamma, symmetric):
    y = blocks.conv(x, filters, 1, name=f"{name}_conv1")
    y = blocks.batch_norm(y, name=f"{name}_conv1")
    y = blocks.conv(
        y, filters, 3, strides, name=f"{name}_conv2", symmetric=symmetric
    )
    y = blocks.batch_norm(y, name=f"{name}_conv2")
    y = blocks.conv(y, 4 * filters, 1, name=f"{name}_conv3")
    y = blocks.batch_norm(y, name=f"{name}_conv3", gamma=gamma, relu=False)
    shortcut = _shortcut(x, 4 * filters, strides, project, name, symmetric)
    return _join(y, shortcut, name)


def _shortcut(x, filters, strides, project, name, symmetric):
    if not project:
        return x
    name = f"{name}_shortcut"
    x = blocks.conv(x, filters, 1, strides, name=name, symmetric=symmetric)
    return blocks.batch_norm(x, name=name, relu=False)


def _join(x, shortcut, name):
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu")(x)
