"""Texts as bytes, in contiguous streams, for character language models."""

import functools

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import sharding
from rigl_tf.datasets import text_files

_WARM_UP = 512  # characters that are read, not counted, before a test stream


def wikitext103(data_dir=None, sequence=512, train="train", test="valid"):
    """Return WikiText-103 as bytes: 539 million to train, 1.1 to test.

    Args:
        data_dir: directory that holds `wikitext-103/wiki.train.tokens` and its
            siblings, or the archive `wikitext-103-v1.zip`; None for
            `RIGL_TF_TEXT_DIR`.
        sequence: T, characters of a stream in one batch.
        train: which of "train", "valid" and "test" to train on.
        test: which of them to test on.

    Returns:
        `TextDataset`; reading it raises FileNotFoundError if it is not there.
    """
    return _wikitext("wikitext103", data_dir, sequence, train, test)


def wikitext2(data_dir=None, sequence=512, train="train", test="valid"):
    """Return WikiText-2 as bytes: 10.8 million to train, 1.1 to test.

    Args and Returns: as `wikitext103`.
    """
    return _wikitext("wikitext2", data_dir, sequence, train, test)


def _wikitext(name, data_dir, sequence, train, test):
    for split in (train, test):
        checks.one_of("split", split, text_files.SPLITS)

    def read(split):
        place = text_files.directory(data_dir)
        return text_files.wikitext(name, split, place)

    return TextDataset(name, lambda: read(train), lambda: read(test), sequence)


def plain_text(train, test, sequence=512):
    """Return texts of your own as bytes.

    Args:
        train: file, directory or zip archive; the files of the latter two are
            put together in the order of their names.
        test: the same, for the test text.
        sequence: T, characters of a stream in one batch.

    Returns:
        `TextDataset`.
    """
    return TextDataset(
        "plain_text",
        lambda: text_files.read(train),
        lambda: text_files.read(test),
        sequence,
    )


class TextDataset:
    """Two texts; each batch goes on where the one before it ended.

    Row i of every training batch belongs to the same stream: its T characters
    follow those of row i in the batch before. The streams begin at equal
    distances in the text, which goes on with its beginning after its end. The
    label of a character is the next one.

    Args:
        name: what errors call it.
        read_train: function that returns the training text, uint8 [n]; mapped
            into memory, it may be larger than that.
        read_test: function that returns the test text.
        sequence: T, characters of a stream in one batch, at least 1.
    """

    n_classes = 256

    def __init__(self, name, read_train, read_test, sequence=512):
        checks.at_least("sequence", sequence, 1, integer=True)
        self.name = name
        self.input_shape = (sequence,)
        self._read = {"training": read_train, "test": read_test}

    @functools.cached_property
    def _train_text(self):
        return self._checked("training")

    @functools.cached_property
    def _test_text(self):
        return self._checked("test")

    def _checked(self, split):
        text = self._read[split]()
        if len(text) < 2:
            raise ValueError(
                f"The {split} text of {self.name!r} must hold two characters "
                f"at least. Received: {len(text)}"
            )
        return text

    @property
    def n_train(self):
        """Number of training sequences of T characters."""
        return len(self._train_text) // self.input_shape[0]

    def check(self, batch_size):
        """Read the texts, and require that the streams do not overlap."""
        checks.batch_size(batch_size, self.n_train, self.name)
        self._test_text  # noqa: B018 - reads it, to show its mistakes early

    def train(self, batch_size, seed, n_skip=0, context=sharding.EVERYTHING):
        """Return the endless training batches `(characters, next ones)`.

        Args:
            batch_size: number of streams, in [1, n_train].
            seed: draws where the first stream begins.
            n_skip: number of batches that were consumed already.
            context: as in `ArrayDataset.train`.

        Returns:
            dataset of int32 tensors [streams of a replica, T].
        """
        self.check(batch_size)
        text = self._train_text
        first = np.random.default_rng(seed).integers(len(text))
        begins = first + np.arange(batch_size) * len(text) // batch_size
        batches = tf.data.Dataset.range(n_skip, np.iinfo(np.int64).max)

        def batch(number, rows):
            found, _ = self._read_rows(text, begins, number, rows)
            return found[:, :-1], found[:, 1:]

        return (
            _of_replicas(batches, batch_size, context)
            .map(batch)
            .prefetch(tf.data.AUTOTUNE)
            .apply(sharding.ENDLESS)
        )

    def test(self, batch_size, context=sharding.EVERYTHING):
        """Return the test batches `(characters, next ones, weights)`.

        Every character but the first is the label once, with weight 1, in one
        of `batch_size` streams. Each stream first reads 512 characters of the
        one before it with weight 0, so that its seam costs nothing.

        Args:
            batch_size: number of streams.
            context: as in `ArrayDataset.train`.
        """
        text, length = self._test_text, self.input_shape[0]
        share = -(-(len(text) - 1) // batch_size)
        shares = np.arange(batch_size) * share
        begins = np.maximum(shares - _WARM_UP, 0)
        n_batches = -(-(share + _WARM_UP) // length)

        def batch(number, rows):
            found, places = self._read_rows(text, begins, number, rows)
            labels = places[:, 1:]
            before = tf.gather(shares, rows)[:, None]
            counts = (labels > before) & (labels <= before + share)
            counts &= labels < len(text)
            return found[:, :-1], found[:, 1:], tf.cast(counts, tf.float32)

        batches = tf.data.Dataset.range(n_batches)
        return (
            _of_replicas(batches, batch_size, context)
            .map(batch)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _read_rows(self, text, begins, number, rows):
        """Read a batch of streams, a character more than its length.

        What lies behind the end is read from the beginning.

        Args:
            text: uint8 array [n].
            begins: where the streams begin, int64 [streams].
            number: of the batch.
            rows: which of the streams.

        Returns:
            characters, int32 [rows, T + 1], and their places, int64.
        """
        length = self.input_shape[0]
        places = tf.gather(begins, rows)[:, None] + number * length
        places += tf.range(length + 1, dtype=tf.int64)
        found = tf.numpy_function(
            lambda places: text[places % len(text)], [places], tf.uint8
        )
        return tf.cast(tf.reshape(found, places.shape), tf.int32), places


def _of_replicas(batches, batch_size, context):
    """Give each number of a batch the rows of each replica in turn."""
    shares = sharding.divide(tf.range(batch_size), batch_size, context)
    return batches.flat_map(
        lambda number: tf.data.Dataset.from_tensor_slices(shares).map(
            lambda rows: (number, rows)
        )
    )
