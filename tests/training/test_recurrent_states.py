"""Character language models: texts, carried states, bits, samples."""

import io
import itertools
import tracemalloc
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import rigl_tf
from rigl_tf import cli
from rigl_tf import datasets
from rigl_tf import models
from rigl_tf.datasets import text_files
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


def bits(net, text, n_rows=4):
    length = net.inputs[0].shape[1]
    return trainer(net, n_rows).evaluate(dataset(text, length).test(n_rows))[
        "bits"
    ]


# Texts.


def test_each_batch_goes_on_where_the_one_before_it_ended():
    text = some_text(100)
    batches = list(dataset(text).train(3, seed=0).take(30))
    for (x, y), (later, _) in itertools.pairwise(batches):
        np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
        np.testing.assert_array_equal(y[:, -1], later[:, 0])
    stream = np.concatenate([x[0] for x, _ in batches]).astype("uint8")
    begin = (text.tobytes() * 4).find(stream.tobytes())
    assert begin >= 0  # it goes round and round


def test_streams_go_on_after_some_batches_and_depend_on_the_seed():
    data = dataset(some_text())
    whole = [x.numpy() for x, _ in data.train(4, seed=1).take(6)]
    later = [x.numpy() for x, _ in data.train(4, seed=1, n_skip=4).take(2)]
    np.testing.assert_array_equal(whole[4:], later)
    other = next(iter(data.train(4, seed=2)))[0].numpy()
    assert (other != whole[0]).any()


@pytest.mark.parametrize("split", ["train", "test"])
def test_replicas_share_the_streams_of_one(split):
    data = dataset(some_text(500))

    def batches(context):
        if split == "train":
            return list(data.train(4, 0, 0, context).take(6))
        return list(data.test(4, context).take(6))

    def context(pipeline):
        return tf.distribute.InputContext(2, pipeline, 4)

    whole = list(
        data.train(4, 0).take(3) if split == "train" else data.test(4).take(3)
    )
    parts = [batches(context(pipeline)) for pipeline in (0, 1)]
    for number, batch in enumerate(whole):
        for index, tensor in enumerate(batch):
            shares = [
                part[2 * number + place][index]
                for part in parts
                for place in (0, 1)
            ]
            np.testing.assert_array_equal(np.concatenate(shares), tensor)


@pytest.mark.parametrize("n, n_rows", [(1000, 1), (1001, 3), (52, 7), (9, 4)])
def test_every_character_is_a_label_once(n, n_rows):
    text = np.arange(n).astype(np.uint8)
    counted = np.zeros(256)
    for _, labels, weights in dataset(text).test(n_rows):
        np.add.at(counted, labels.numpy().ravel(), weights.numpy().ravel())
    expected = np.bincount(text[1:], minlength=256)
    np.testing.assert_array_equal(counted, expected)


def test_texts_come_from_files_directories_and_archives(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.txt").write_bytes(b"there")
    (tmp_path / "b" / "1.txt").write_bytes(b"hello ")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("2.txt", "there")
        archive.writestr("1.txt", "hello ")
    (tmp_path / "one.txt").write_bytes(b"hello there")
    for name in ("b", "a.zip", "one.txt"):
        assert text_files.read(tmp_path / name).tobytes() == b"hello there"
    data = datasets.plain_text(tmp_path / "b", tmp_path / "a.zip", 2)
    data.check(2)
    (tmp_path / "empty").write_bytes(b"")
    for bad, error, text in (
        (tmp_path / "none", FileNotFoundError, "No text"),
        (tmp_path / "empty", ValueError, "two characters"),
    ):
        with pytest.raises(error, match=text):
            datasets.plain_text(bad, bad).check(1)
    with pytest.raises(ValueError, match="at most 5"):
        data.check(6)


def test_large_archives_need_little_memory(tmp_path):
    block = np.random.default_rng(0).bytes(1 << 20)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        with archive.open("text", "w") as member:
            for _ in range(48):
                member.write(block)
    tracemalloc.start()
    text = text_files.read(tmp_path / "a.zip")
    text_files.count_tokens(text)
    next(iter(dataset(text).train(32, 0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text) == 48 << 20
    assert peak < 24 << 20


def archive_of(tmp_path, **splits):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for split, text in splits.items():
            archive.writestr(f"wikitext-103/wiki.{split}.tokens", text)
    path = tmp_path / "wikitext-103-v1.zip"
    path.write_bytes(stream.getvalue())
    return path


def test_wikitext_is_unpacked_and_counted(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(text_files._TOKENS, "wikitext103", (5, 3, 2))
    words = ["prepare", "wikitext103", f"--data_dir={tmp_path}"]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "wikitext-103-v1.zip" in error and "https://" in error
    splits = {"train": " a b \n c \n", "valid": " a \n b", "test": "a \n"}
    path = archive_of(tmp_path, **splits)
    # Training reads the archive itself, too.
    data = datasets.wikitext103(str(tmp_path), sequence=2)
    data.check(2)
    assert cli.main(words) == 0
    assert "train 10, valid 6, test 3 characters" in capsys.readouterr().out
    path.unlink()
    assert cli.main(words) == 0
    (tmp_path / "wikitext-103" / "wiki.valid.tokens").write_text(
        "a b c d", encoding="utf-8"
    )
    assert cli.main(words) == 2
    assert "must hold 3 tokens" in capsys.readouterr().err


def test_damaged_archives_are_named(tmp_path, capsys):
    path = archive_of(tmp_path, train="a " * 5000, valid="b", test="c")
    content = bytearray(path.read_bytes())
    content[50:60] = bytes(10)
    path.write_bytes(content)
    words = ["prepare", "wikitext103", f"--data_dir={tmp_path}"]
    assert cli.main(words) == 2
    assert "is damaged" in capsys.readouterr().err
    path.write_bytes(b"no archive")
    assert cli.main(words) == 2
    assert "is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    "field, value, message",
    [((6, 8), 1, "is encrypted"), ((8, 10), 9, "not supported")],
    ids=["locked", "new"],
)
def test_archives_that_cannot_be_read_are_named(
    field, value, message, tmp_path, capsys
):
    path = archive_of(tmp_path, train="a", valid="b", test="c")
    content = bytearray(path.read_bytes())
    for mark, place in zip((b"PK\x03\x04", b"PK\x01\x02"), field):
        content[content.find(mark) + place] = value
    path.write_bytes(content)
    assert cli.main(["prepare", "wikitext103", f"--data_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert message in error and "unpack it with another program" in error


def test_wikitext_is_the_published_one(text_dir):
    tokens = text_files._TOKENS["wikitext103"]
    for split, expected in zip(text_files.SPLITS[1:], tokens[1:]):
        text = text_files.wikitext("wikitext103", split, text_dir)
        assert text_files.count_tokens(text) == expected
        words = text.tobytes().split()
        assert len(words) + text.tobytes().count(b"\n") == expected
    with pytest.raises(FileNotFoundError, match="rigl_tf prepare wikitext103"):
        datasets.wikitext103(text_dir).check(1)


# Bits per character.


def test_a_uniform_model_needs_eight_bits():
    net = model()
    net.get_layer("logits").kernel.assign(tf.zeros((4, 256)))
    assert bits(net, some_text()) == 8.0


def test_a_unigram_model_needs_the_entropy(text_dir):
    text = text_files.wikitext("wikitext103", "valid", text_dir)[:50_000]
    counts = np.bincount(text[1:], minlength=256)
    shares = counts[counts > 0] / counts.sum()
    entropy = -(shares * np.log2(shares)).sum()
    net = model(length=128)
    logits = net.get_layer("logits")
    logits.kernel.assign(tf.zeros((4, 256)))
    logits.bias.assign(np.log(np.maximum(counts, 1e-9)))
    assert bits(net, text, n_rows=16) == pytest.approx(entropy, abs=1e-5)


@pytest.mark.parametrize("n_rows, length", [(1, 64), (4, 64), (7, 100)])
def test_chunks_give_the_bits_of_one_long_pass(n_rows, length, text_dir):
    text = text_files.wikitext("wikitext103", "valid", text_dir)[:6000]
    keras.utils.set_random_seed(1)
    net = model_that_remembers(length)
    whole = text_sampling.of_any_length(net)
    x = text.astype(np.int32)[None]
    zeros = np.zeros((1, 24), np.float32)
    logits, _ = tf.function(whole)([x[:, :-1], zeros])
    expected = tf.reduce_mean(metrics.bits_per_character(x[:, 1:], logits))
    found = bits(net, text, n_rows)
    assert found == pytest.approx(float(expected), rel=1e-6)
    reset = model(length, units=24, embedding=16, readouts=(16,))
    assert abs(bits(reset, text, n_rows) - found) > 0.1


# Carried states.


def test_states_are_carried_in_training_and_kept_by_evaluation():
    net, data = model(), dataset(some_text())
    loop = trainer(net)
    loop.train(data.train(4, 0), 3)
    x = np.concatenate([x for x, _ in data.train(4, 0).take(3)], axis=1)
    found = loop.state()["carried_0"].numpy()
    # After a step the weights are others: only the last states are close.
    assert found.any() and found.shape == (4, 6)
    first, again = (loop.evaluate(data.test(4)) for _ in range(2))
    assert first == again
    np.testing.assert_array_equal(loop.state()["carried_0"].numpy(), found)
    still = trainer(model(), updater=None)
    still.optimizer.learning_rate = 0.0
    still.train(data.train(4, 0), 3)
    whole = text_sampling.of_any_length(still.model)
    _, states = whole([x, np.zeros((4, 6), np.float32)])
    np.testing.assert_allclose(
        still.state()["carried_0"].numpy(), states, atol=1e-6
    )


@pytest.mark.slow
def test_two_replicas_carry_the_states_of_one(mirrored):
    text = some_text()

    def train(strategy):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            net = rigl_tf.sparsify(model(), 0.5)
            updater = rigl_tf.updaters.RigL(
                update_interval=3, update_end_step=9, drop_fraction=0.3
            )
            loop = trainer(net, updater=updater, strategy=strategy)

        def batches(context):
            return dataset(text).train(4, 0, 0, context)

        loop.train(strategy.distribute_datasets_from_function(batches), 9)

        def tests(context):
            return dataset(text).test(4, context)

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
        trainer(model()).train(dataset(some_text()).train(3, 0), 1)


# Samples.


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
