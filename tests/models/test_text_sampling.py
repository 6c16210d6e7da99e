"""Text that a character model writes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import rigl_tf
from rigl_tf import cli
from rigl_tf import datasets
from rigl_tf import models
from rigl_tf.models import text_sampling
from rigl_tf.training import losses
from rigl_tf.training import metrics

LENGTH = 8


def some_text(n=3000):
    rng = np.random.default_rng(0)
    return rng.choice(np.frombuffer(b"to be or not", np.uint8), n)


def dataset(text, length=LENGTH):
    return datasets.TextDataset("text", lambda: text, lambda: text, length)


def model(length=LENGTH, **options):
    sizes = {"embedding": 4, "units": 6, "readouts": (5, 4), **options}
    return models.char_gru((length,), **sizes)


def model_that_remembers(length=LENGTH):
    net = model(length, units=24, embedding=16, readouts=(16,))
    for variable in net.trainable_variables:
        variable.assign(3 * variable)
    return net


def trainer(net, n_rows=4, **options):
    return rigl_tf.SparseTrainer(
        net,
        options.pop("updater", None),
        keras.optimizers.Adam(0.01),
        losses.SmoothedCrossentropy(),
        metrics={"bits": metrics.bits_per_character},
        n_rows=n_rows,
        **options,
    )


@pytest.mark.slow
def test_samples_follow_the_model(tmp_path, capsys):
    text = np.frombuffer(b"abcdefgh" * 200, np.uint8)
    net = model(units=16, embedding=8, readouts=(16,))
    trainer(net).train(dataset(text).train(4, 0), 250)
    written = bytes(text_sampling.sample(net, b"abc", 20, temperature=0))
    assert written == b"defghabcdefghabcdefg"
    assert written == bytes(
        text_sampling.sample(net, b"abcdefgh" * 200 + b"abc", 20, 0)
    )
    first, again, other = (
        bytes(text_sampling.sample(net, b"a", 60, temperature=3.0, seed=seed))
        for seed in (0, 0, 1)
    )
    assert first == again != other
    net.save(tmp_path / "model.keras")
    words = ["sample", f"--workdir={tmp_path}", "--length=5"]
    assert cli.main([*words, "--prompt=abc", "--temperature=0"]) == 0
    assert capsys.readouterr().out == "abcdefgh\n"
    for bad, message in (
        ("--prompt=", "`prompt` must hold"),
        ("--temperature=-1", "`temperature` must be at least 0"),
        ("--length=0", "`length` must be at least 1"),
    ):
        assert cli.main([*words, bad]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["sample", f"--workdir={tmp_path / 'no'}"]) == 2
    assert "no model.keras" in capsys.readouterr().err
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(
        tmp_path / "model.keras"
    )
    assert cli.main(words) == 2
    assert "needs a language model" in capsys.readouterr().err


def test_long_prompts_are_remembered():
    keras.utils.set_random_seed(1)
    net = model_that_remembers()
    whole = tf.function(text_sampling.of_any_length(net), reduce_retracing=True)
    text = some_text(513)  # read in two pieces
    expected = list(text)
    for _ in range(5):
        logits, _ = whole([np.int32([expected]), np.zeros((1, 24), np.float32)])
        expected.append(int(np.argmax(logits[0, -1])))
    found = text_sampling.sample(net, text.tobytes(), 5, temperature=0)
    assert list(found) == expected[513:]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_models_of_any_precision_write(policy):
    keras.config.set_dtype_policy(policy)
    try:
        net = model()
    finally:
        keras.config.set_dtype_policy("float32")
    assert net.inputs[1].dtype == ("float64" if "64" in policy else "float32")
    assert len(list(text_sampling.sample(net, b"ab", 3))) == 3


def test_draws_follow_the_temperature():
    net = model()
    for variable in net.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    bias = np.full(256, -1e9, np.float32)
    bias[:2] = np.log([0.2, 0.8])
    net.get_layer("logits").bias.assign(bias)
    for temperature in (1.0, 2.0):
        drawn = list(text_sampling.sample(net, b"x", 1000, temperature))
        odds = np.array([0.2, 0.8]) ** (1 / temperature)
        share = np.mean(np.array(drawn) == 0)
        assert share == pytest.approx(odds[0] / odds.sum(), abs=0.05)
