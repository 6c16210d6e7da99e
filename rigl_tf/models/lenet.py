"""Small networks for digits and MNIST: LeNet-300-100 and LeNet-5."""

from collections.abc import Sequence

import keras

from rigl_tf import checks
from rigl_tf.models import blocks


def mlp(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    hidden: Sequence[int] = (300, 100),
    width: float = 1.0,
) -> keras.Model:
    """Build LeNet-300-100, a multi-layer perceptron with ReLU.

    266,610 parameters for 28x28 inputs and 10 classes, of which 266,200 are
    kernel weights.

    Args:
        input_shape: shape of one example, e.g. (28, 28, 1); flattened.
        n_classes: number of logits.
        hidden: units of the hidden layers.
        width: multiplies the units of the hidden layers.

    Returns:
        Keras model: inputs [batch, *input_shape] -> logits [batch, n_classes].

    Reference: LeCun et al. 1998; Evci et al. 2020, table 2.
    """
    checks.above("width", width, 0)
    layers = [keras.Input(tuple(input_shape)), keras.layers.Flatten()]
    layers += [
        keras.layers.Dense(
            blocks.scaled(units, width), activation="relu", name=f"fc{index}"
        )
        for index, units in enumerate(hidden, start=1)
    ]
    layers.append(keras.layers.Dense(n_classes, name=f"fc{len(hidden) + 1}"))
    return keras.Sequential(layers, name="mlp")


def lenet5(
    input_shape: Sequence[int],
    n_classes: int,
    *,
    filters: Sequence[int] = (6, 16),
    units: Sequence[int] = (120, 84),
    width: float = 1.0,
) -> keras.Model:
    """Build LeNet-5 with ReLU and max-pooling.

    44,426 parameters for 28x28x1 inputs and 10 classes, of which 44,190 are
    kernel weights (convolutions without padding).

    Args:
        input_shape: shape of one image, [height, width, channels]; at least
            16x16.
        n_classes: number of logits.
        filters: channels of the two 5x5 convolutions.
        units: units of the two hidden dense layers.
        width: multiplies channels and units.

    Returns:
        Keras model: images [batch, *input_shape] -> logits [batch, n_classes].

    Reference: LeCun et al. 1998.
    """
    checks.above("width", width, 0)
    layers = [keras.Input(tuple(input_shape))]
    for index, channels in enumerate(filters, start=1):
        layers += [
            keras.layers.Conv2D(
                blocks.scaled(channels, width),
                5,
                activation="relu",
                name=f"conv{index}",
            ),
            keras.layers.MaxPooling2D(2),
        ]
    layers.append(keras.layers.Flatten())
    layers += [
        keras.layers.Dense(
            blocks.scaled(n, width), activation="relu", name=f"fc{index}"
        )
        for index, n in enumerate(units, start=1)
    ]
    layers.append(keras.layers.Dense(n_classes, name=f"fc{len(units) + 1}"))
    return keras.Sequential(layers, name="lenet5")
