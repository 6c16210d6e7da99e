"""Sample text from a character language model."""

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checks

_PIECE = 512  # characters of the prompt that are read at once


def of_any_length(model):
    """Return a language model for texts of any length, with the same weights.

    Args:
        model: Keras model `[characters, *states] -> [logits, *states]`.

    Raises:
        ValueError: the model is none.
    """
    if len(model.inputs) < 2 or len(model.inputs) != len(model.outputs):
        raise ValueError(
            "`sample` needs a language model that takes and gives characters "
            f"and states. Received: {model.name!r}, with {len(model.inputs)} "
            f"inputs and {len(model.outputs)} outputs"
        )
    characters, *states = model.inputs
    inputs = [keras.Input((None,), dtype="int32", name=characters.name)]
    inputs += [keras.Input(s.shape[1:], name=s.name) for s in states]
    free = keras.models.clone_model(model, input_tensors=inputs)
    free.set_weights(model.get_weights())
    return free


def sample(model, prompt, length, temperature=1.0, seed=0):
    """Let a language model go on with a text, byte by byte.

    Each byte is drawn from `softmax(logits / temperature)`.

    Args:
        model: as in `of_any_length`.
        prompt: bytes to begin with, at least one.
        length: number of bytes to write, at least 1.
        temperature: above 0; 0 itself takes the most likely byte.
        seed: seed of the draws.

    Yields:
        one integer in [0, 256) after the other.

    Raises:
        ValueError: at once, of bad arguments.
    """
    if not prompt:
        raise ValueError("`prompt` must hold a character. Received: none")
    checks.at_least("length", length, 1, integer=True)
    checks.at_least("temperature", temperature, 0)
    checks.at_least("seed", seed, 0, integer=True)
    return _draws(of_any_length(model), prompt, length, temperature, seed)


def _draws(model, prompt, length, temperature, seed):
    rng = np.random.default_rng(seed)
    text = np.frombuffer(prompt, np.uint8).astype(np.int32)
    states = [np.zeros((1, *s.shape[1:]), s.dtype) for s in model.inputs[1:]]
    read = tf.function(
        lambda *inputs: model(list(inputs), training=False),
        input_signature=[
            tf.TensorSpec([1, *tensor.shape[1:]], tensor.dtype)
            for tensor in model.inputs
        ],
    )

    def step(characters, states):
        logits, *after = read(characters[None], *states)
        # In mixed precision the model computes in another type.
        after = [tf.cast(a, before.dtype) for a, before in zip(after, states)]
        return logits, after

    for begin in range(0, len(text), _PIECE):
        logits, states = step(text[begin : begin + _PIECE], states)
    for _ in range(length):
        scores = np.asarray(logits[0, -1], np.float64)
        if temperature:
            # The largest of Gumbel-perturbed scores is a draw of the softmax.
            scores = scores / temperature + rng.gumbel(size=scores.shape)
        byte = int(scores.argmax())
        yield byte
        logits, states = step(np.array([byte], np.int32), states)
