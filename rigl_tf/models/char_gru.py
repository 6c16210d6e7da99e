"""The character language model."""

import keras

from rigl_tf.models import parts


def char_gru(
    input_shape,
    n_classes=256,
    *,
    embedding=128,
    units=512,
    readouts=(256, 128),
    width=1.0,
):
    """Build a character language model: embedding, GRU, readout layers.

    1,216,128 parameters with 256 classes, of which the kernels of GRU, readouts
    and logits hold 1,179,648.

    Args:
        input_shape: shape of one text, [characters], or (None,).
        n_classes: size of the vocabulary.
        embedding: size of a character's embedding.
        units: size of the GRU's state.
        readouts: units of the readout layers (ReLU).
        width: multiplies the sizes of embedding, state and readouts.

    Returns:
        Keras model, characters [batch, time] -> logits of the next character
        [batch, time, n_classes].

    Reference: Evci et al. 2020, section 4.2 and appendix I.
    """
    parts.check_width(width)
    layers = [
        keras.Input(tuple(input_shape), dtype="int32"),
        keras.layers.Embedding(
            n_classes, parts.scaled(embedding, width), name="embedding"
        ),
        keras.layers.GRU(
            parts.scaled(units, width), return_sequences=True, name="gru"
        ),
    ]
    layers += [
        keras.layers.Dense(
            parts.scaled(n, width), activation="relu", name=f"readout{index}"
        )
        for index, n in enumerate(readouts, start=1)
    ]
    layers.append(keras.layers.Dense(n_classes, name="logits"))
    return keras.Sequential(layers, name="char_gru")
