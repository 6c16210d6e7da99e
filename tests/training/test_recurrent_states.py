"""Recurrent states: carried from batch to batch; bits per character."""

import characters
import keras
import numpy as np
import params
import pytest
import tensorflow as tf

import rigl_tf
from rigl_tf.datasets import text_files
from rigl_tf.models import text_sampling
from rigl_tf.training import metrics


def bits(net, text, n_rows=4):
    length = net.inputs[0].shape[1]
    return characters.trainer(net, n_rows).evaluate(
        characters.dataset(text, length).test(n_rows)
    )["bits"]


def test_a_uniform_model_needs_eight_bits():
    net = characters.model()
    net.get_layer("logits").kernel.assign(tf.zeros((4, 256)))
    assert bits(net, characters.some_text()) == 8.0


def test_a_unigram_model_needs_the_entropy(text_dir):
    text = text_files.wikitext("wikitext103", "valid", text_dir)[:50_000]
    counts = np.bincount(text[1:], minlength=256)
    shares = counts[counts > 0] / counts.sum()
    entropy = -(shares * np.log2(shares)).sum()
    net = characters.model(length=128)
    logits = net.get_layer("logits")
    logits.kernel.assign(tf.zeros((4, 256)))
    logits.bias.assign(np.log(np.maximum(counts, 1e-9)))
    assert bits(net, text, n_rows=16) == pytest.approx(entropy, abs=1e-5)


@pytest.mark.parametrize(
    "n_rows, length", [params.slow((1, 64)), params.slow((4, 64)), (7, 100)]
)
def test_chunks_give_the_bits_of_one_long_pass(n_rows, length, text_dir):
    text = text_files.wikitext("wikitext103", "valid", text_dir)[:6000]
    keras.utils.set_random_seed(1)
    net = characters.model_that_remembers(length)
    whole = text_sampling.of_any_length(net)
    x = text.astype(np.int32)[None]
    zeros = np.zeros((1, 24), np.float32)
    logits, _ = tf.function(whole)([x[:, :-1], zeros])
    expected = tf.reduce_mean(metrics.bits_per_character(x[:, 1:], logits))
    found = bits(net, text, n_rows)
    assert found == pytest.approx(float(expected), rel=1e-6)
    reset = characters.model(length, units=24, embedding=16, readouts=(16,))
    assert abs(bits(reset, text, n_rows) - found) > 0.1


def test_states_are_carried_in_training_and_kept_by_evaluation():
    net, data = characters.model(), characters.dataset(characters.some_text())
    loop = characters.trainer(net)
    loop.train(data.train(4, 0), 3)
    x = np.concatenate([x for x, _ in data.train(4, 0).take(3)], axis=1)
    found = loop.state()["carried_0"].numpy()
    # After a step the weights are others: only the last states are close.
    assert found.any() and found.shape == (4, 6)
    first, again = (loop.evaluate(data.test(4)) for _ in range(2))
    assert first == again
    np.testing.assert_array_equal(loop.state()["carried_0"].numpy(), found)
    still = characters.trainer(characters.model(), updater=None)
    still.optimizer.learning_rate = 0.0
    still.train(data.train(4, 0), 3)
    whole = text_sampling.of_any_length(still.model)
    _, states = whole([x, np.zeros((4, 6), np.float32)])
    np.testing.assert_allclose(
        still.state()["carried_0"].numpy(), states, atol=1e-6
    )


@pytest.mark.slow
def test_two_replicas_carry_the_states_of_one(mirrored):
    text = characters.some_text()

    def train(strategy):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            net = rigl_tf.sparsify(characters.model(), 0.5)
            updater = rigl_tf.updaters.RigL(
                update_interval=3, update_end_step=9, drop_fraction=0.3
            )
            loop = characters.trainer(net, updater=updater, strategy=strategy)

        def batches(context):
            return characters.dataset(text).train(4, 0, 0, context)

        loop.train(strategy.distribute_datasets_from_function(batches), 9)

        def tests(context):
            return characters.dataset(text).test(4, context)

        tests = strategy.distribute_datasets_from_function(tests)
        return loop, loop.evaluate(tests)["bits"]

    alone, expected = train(tf.distribute.get_strategy())
    pair, found = train(mirrored)
    assert found == pytest.approx(expected, rel=1e-6)
    for copy in pair.state()["carried_0"].value.values:
        np.testing.assert_allclose(
            copy, alone.state()["carried_0"].numpy(), atol=1e-5
        )
    for a, b in zip(alone.kernels, pair.kernels):
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())


def test_batches_of_another_size_are_refused():
    with pytest.raises(ValueError, match="4 rows, 4 per replica"):
        characters.trainer(characters.model()).train(
            characters.dataset(characters.some_text()).train(3, 0), 1
        )
