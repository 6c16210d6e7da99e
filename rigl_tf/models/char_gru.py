"""A character language model: embedding, GRU, readout layers."""

from collections.abc import Sequence

import keras

from rigl_tf import checks
from rigl_tf.models import blocks


def char_gru(
    input_shape: Sequence[int],
    n_classes: int = 256,
    *,
    embedding: int = 128,
    units: int = 512,
    readouts: Sequence[int] = (256, 128),
    width: float = 1.0,
) -> keras.Model:
    """Build a character language model: embedding, GRU, readout layers.

    1,216,128 parameters with 256 classes, of which the kernels of GRU, readouts
    and logits have 1,179,648. Keras stores the weights of a GRU's three gates
    in one kernel and one recurrent kernel. Each of the two has one mask for all
    gates, so updates move connections between gates.

    Args:
        input_shape: shape of one text, [characters].
        n_classes: size of the vocabulary.
        embedding: size of the embedding of a character.
        units: size of the GRU's state.
        readouts: units of the readout layers (ReLU).
        width: multiplies the sizes of embedding, state and readouts.

    Returns:
        A Keras model with two inputs, characters [batch, time] and the state
        [batch, units] before them (zeros at first), and two outputs: logits of
        the next characters [batch, time, n_classes], and the state after them.

    Reference: Evci et al. 2020, section 4.2 and appendix I.
    """
    checks.above("width", width, 0)
    units = blocks.scaled(units, width)
    characters = keras.Input(input_shape, dtype="int32", name="characters")
    policy = keras.config.dtype_policy()
    before = keras.Input((units,), dtype=policy.variable_dtype, name="state")
    x = keras.layers.Embedding(
        n_classes, blocks.scaled(embedding, width), name="embedding"
    )(characters)
    x, after = keras.layers.GRU(
        units, return_sequences=True, return_state=True, name="gru"
    )(x, initial_state=before)
    for index, n in enumerate(readouts, start=1):
        x = keras.layers.Dense(
            blocks.scaled(n, width), activation="relu", name=f"readout{index}"
        )(x)
    logits = keras.layers.Dense(n_classes, name="logits")(x)
    return keras.Model([characters, before], [logits, after], name="char_gru")
