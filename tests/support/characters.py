"""Character models and texts that the tests of recurrent states share."""

import keras
import numpy as np

import rigl_tf
from rigl_tf import datasets
from rigl_tf import models
from rigl_tf.training import losses
from rigl_tf.training import metrics

LENGTH = 8


def some_text(n=3000):
    """Return letters that follow no rule."""
    rng = np.random.default_rng(0)
    return rng.choice(np.frombuffer(b"to be or not", np.uint8), n)


def dataset(text, length=LENGTH):
    """Return a data set of one text."""
    return datasets.TextDataset("text", lambda: text, lambda: text, length)


def model(length=LENGTH, **options):
    """Build a tiny character model."""
    sizes = {"embedding": 4, "units": 6, "readouts": (5, 4), **options}
    return models.char_gru((length,), **sizes)


def model_that_remembers(length=LENGTH):
    """Build a model whose states change its predictions."""
    net = model(length, units=24, embedding=16, readouts=(16,))
    for variable in net.trainable_variables:
        variable.assign(3 * variable)
    return net


def trainer(net, n_rows=4, **options):
    """Build a trainer that carries states."""
    return rigl_tf.SparseTrainer(
        net,
        options.pop("updater", None),
        keras.optimizers.Adam(0.01),
        losses.SmoothedCrossentropy(),
        metrics={"bits": metrics.bits_per_character},
        n_rows=n_rows,
        **options,
    )
