"""Text that a character model writes."""

import characters
import keras
import numpy as np
import pytest
import tensorflow as tf

from rigl_tf import cli
from rigl_tf.models import text_sampling


@pytest.mark.slow
def test_samples_follow_the_model(tmp_path, capsys):
    text = np.frombuffer(b"abcdefgh" * 200, np.uint8)
    net = characters.model(units=16, embedding=8, readouts=(16,))
    characters.trainer(net).train(characters.dataset(text).train(4, 0), 250)
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
    net = characters.model_that_remembers()
    whole = tf.function(text_sampling.of_any_length(net), reduce_retracing=True)
    text = characters.some_text(513)  # read in two pieces
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
        net = characters.model()
    finally:
        keras.config.set_dtype_policy("float32")
    assert net.inputs[1].dtype == ("float64" if "64" in policy else "float32")
    assert len(list(text_sampling.sample(net, b"ab", 3))) == 3


@pytest.mark.slow
def test_draws_follow_the_temperature():
    net = characters.model()
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
