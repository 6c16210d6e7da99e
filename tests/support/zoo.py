"""One small model of every kind that users bring."""

import keras
from keras import layers as kl
import numpy as np


@keras.saving.register_keras_serializable(package="zoo")
class Subclassed(keras.Model):
    """A model of its own class, with a list of layers and dropout."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.blocks = [kl.Dense(units, "relu") for _ in range(2)]
        self.dropout = kl.Dropout(0.1)
        self.head = kl.Dense(3)

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x)
        return self.head(self.dropout(x, training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="zoo")
class Own(kl.Layer):
    """A layer with a kernel of its own."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], self.units), name="w")

    def call(self, x):
        return keras.ops.tanh(keras.ops.matmul(x, self.w))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def mlp():
    return keras.Sequential(
        [keras.Input((6,)), kl.Dense(8, "relu"), kl.Dense(3)]
    )


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 6)))
    return model


def own_layer():
    return keras.Sequential([keras.Input((6,)), Own(8), kl.Dense(3)])


def residual():
    inputs = keras.Input((8, 8, 3))
    x = kl.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    y = kl.BatchNormalization()(x)
    y = kl.Conv2D(4, 3, padding="same")(kl.ReLU()(y))
    x = kl.GlobalAveragePooling2D()(x + y)
    return keras.Model(inputs, kl.Dense(3)(x))


def nested():
    inner = keras.Sequential([keras.Input((8,)), kl.Dense(8, "relu")])
    inputs = keras.Input((6,))
    x = inner(kl.Dense(8)(inputs))
    return keras.Model(inputs, kl.Dense(3)(x + inner(x)))


def shared():
    layer = kl.Dense(6, "relu")
    inputs = keras.Input((6,))
    return keras.Model(inputs, kl.Dense(3)(layer(layer(inputs))))


def convolutions():
    inputs = keras.Input((8, 8, 3))
    x = kl.SeparableConv2D(4, 3, activation="relu")(inputs)
    x = kl.Conv2DTranspose(4, 3, activation="relu")(x)
    x = kl.DepthwiseConv2D(3)(x)
    return keras.Model(inputs, kl.Dense(3)(kl.Flatten()(x)))


def convolutions_1d_3d():
    inputs = keras.Input((4, 4, 4, 2))
    x = kl.Conv3D(4, 2, activation="relu")(inputs)
    x = kl.Conv1D(4, 2, activation="relu")(kl.Reshape((9, 12))(x))
    return keras.Model(inputs, kl.Dense(3)(kl.Flatten()(x)))


def attention():
    inputs = keras.Input((5, 8))
    x = kl.MultiHeadAttention(2, 4)(inputs, inputs)
    x = kl.LayerNormalization()(inputs + x)
    x = kl.GroupQueryAttention(4, 2, 2)(x, x)
    x = kl.EinsumDense("btc,cd->btd", (5, 6), bias_axes="d")(x)
    return keras.Model(inputs, kl.Dense(3)(kl.GlobalAveragePooling1D()(x)))


def bidirectional():
    return keras.Sequential(
        [
            keras.Input((5, 4)),
            kl.Bidirectional(kl.GRU(4, return_sequences=True)),
            kl.LSTM(4),
            kl.Dense(3),
        ]
    )


def states():
    inputs = keras.Input((5, 4))
    x, h, c = kl.LSTM(4, return_sequences=True, return_state=True)(inputs)
    x = kl.LSTM(4)(x, initial_state=[h, c])
    return keras.Model(inputs, kl.Dense(3)(x))


def embedding():
    return keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            kl.Embedding(10, 4, mask_zero=True),
            kl.GRU(4),
            kl.Dense(3),
        ]
    )


def application():
    """Build the first six blocks of MobileNetV2: all take long to trace."""
    whole = keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, weights=None, include_top=False
    )
    x = kl.GlobalAveragePooling2D()(whole.get_layer("block_5_add").output)
    return keras.Model(whole.input, kl.Dense(3, name="predictions")(x))


KINDS = {
    function.__name__: function
    for function in (
        mlp,
        subclassed,
        own_layer,
        residual,
        nested,
        shared,
        convolutions,
        convolutions_1d_3d,
        attention,
        bidirectional,
        states,
        embedding,
        application,
    )
}


def arrays(model, n=16):
    """Return examples that the model takes, and labels."""
    rng = np.random.default_rng(0)
    config = model.get_build_config() or {}
    shape = getattr(model, "input_shape", None) or config["input_shape"]
    if model.layers[0].__class__.__name__ == "Embedding":
        x = rng.integers(0, 10, (n, *shape[1:]))
    else:
        x = rng.normal(size=(n, *shape[1:])).astype(np.float32)
    return x, rng.integers(0, 3, n)
