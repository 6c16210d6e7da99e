"""Streams of text, cut into batches."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from rigl_tf import datasets

LENGTH = 8


def some_text(n=3000):
    rng = np.random.default_rng(0)
    return rng.choice(np.frombuffer(b"to be or not", np.uint8), n)


def dataset(text, length=LENGTH):
    return datasets.TextDataset("text", lambda: text, lambda: text, length)


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
