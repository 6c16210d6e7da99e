"""Texts as bytes, in contiguous streams, for character language models."""

from collections.abc import Callable
import functools
import os

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import pipelines
from rigl_tf.datasets import sharding
from rigl_tf.datasets import text_files

_WARM_UP = 512  # characters before a test stream that are read, not scored


def wikitext103(
    data_dir: str | os.PathLike | None = None,
    sequence: int = 512,
    train: text_files.Split = "train",
    test: text_files.Split = "valid",
) -> "TextDataset":
    """Return WikiText-103 as bytes: 539 million to train, 1.1 million to test.

    Args:
        data_dir: directory that contains `wikitext-103/wiki.train.tokens` and
            the other splits, or the archive `wikitext-103-v1.zip`; None for
            `RIGL_TF_TEXT_DIR`.
        sequence: T, characters of a stream in one batch.
        train: the split to train on, "train", "valid" or "test".
        test: the split to test on.

    Returns:
        A `TextDataset`. Reading it raises FileNotFoundError if it is missing.
    """
    return _wikitext("wikitext103", data_dir, sequence, train, test)


def wikitext2(
    data_dir: str | os.PathLike | None = None,
    sequence: int = 512,
    train: text_files.Split = "train",
    test: text_files.Split = "valid",
) -> "TextDataset":
    """Return WikiText-2 as bytes: 10.8 million to train, 1.1 million to test.

    See `wikitext103` for the arguments.
    """
    return _wikitext("wikitext2", data_dir, sequence, train, test)


def _wikitext(name, data_dir, sequence, train, test):
    for split in (train, test):
        checks.one_of("split", split, text_files.SPLITS)

    def read(split):
        place = text_files.directory(data_dir)
        return text_files.wikitext(name, split, place)

    return TextDataset(name, lambda: read(train), lambda: read(test), sequence)


def plain_text(
    train: str | os.PathLike, test: str | os.PathLike, sequence: int = 512
) -> "TextDataset":
    """Return texts of your own as bytes.

    Args:
        train: file, directory or zip archive; the files of the latter two are
            joined in the order of their names.
        test: the same for the test text.
        sequence: T, characters of a stream in one batch.
    """
    return TextDataset(
        "plain_text",
        lambda: text_files.read(train),
        lambda: text_files.read(test),
        sequence,
    )


class TextDataset:
    """Two texts; each batch continues where the batch before it ended.

    Row i of every training batch belongs to the same stream: its T characters
    follow those of row i in the batch before. The streams start at equal
    distances in the text, which continues from its end with its beginning. The
    label of a character is the next character.

    Args:
        name: name of the data set, used in error messages.
        read_train: function that returns the training text, uint8 [n]; a memory
            map may be larger than the memory.
        read_test: function that returns the test text.
        sequence: T, characters of a stream in one batch, at least 1.

    Attributes:
        name: name of the data set.
        input_shape: shape of one example, [T].
        n_classes: number of classes, 256.
    """

    n_classes: int = 256

    def __init__(
        self,
        name: str,
        read_train: Callable[[], np.ndarray],
        read_test: Callable[[], np.ndarray],
        sequence: int = 512,
    ):
        checks.at_least("sequence", sequence, 1, integer=True)
        self.name: str = name
        self.input_shape: tuple[int, ...] = (sequence,)
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
                f"The {split} text of {self.name!r} must hold at least two "
                f"characters. Received: {len(text)}"
            )
        return text

    @property
    def n_train(self) -> int:
        """Number of training sequences of T characters."""
        return len(self._train_text) // self.input_shape[0]

    def check(self, batch_size: int) -> None:
        """Read the texts, and require that the streams do not overlap."""
        checks.batch_size(batch_size, self.n_train, self.name)
        self._test_text  # noqa: B018 - reads the text, to report its errors early

    def train(
        self,
        batch_size: int,
        seed: int,
        n_skip: int = 0,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return the endless training batches `(characters, next ones)`.

        Args:
            batch_size: number of streams, in [1, n_train].
            seed: seed of the position at which the first stream starts.
            n_skip: number of batches that were consumed already.
            context: input context, see `ArrayDataset.train`.

        Returns:
            A dataset of int32 tensors [streams of a replica, T].
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
            .with_options(pipelines.UNTUNED)
        )

    def test(
        self,
        batch_size: int,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return the test batches `(characters, next ones, weights)`.

        Every character but the first is the label once, with weight 1, in one
        of `batch_size` streams. Each stream first reads 512 characters of the
        stream before it with weight 0, so that its start does not affect the
        result.

        Args:
            batch_size: number of streams.
            context: input context, see `ArrayDataset.train`.
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
            .with_options(pipelines.UNTUNED)
        )

    def _read_rows(self, text, begins, number, rows):
        """Read T + 1 characters of each stream for one batch.

        Positions beyond the end are read from the beginning.

        Args:
            text: uint8 array [n].
            begins: positions at which the streams start, int64 [streams].
            number: number of the batch.
            rows: indices of the streams.

        Returns:
            The characters, int32 [rows, T + 1], and their positions, int64.
        """
        length = self.input_shape[0]
        places = tf.gather(begins, rows)[:, None] + number * length
        places += tf.range(length + 1, dtype=tf.int64)
        found = tf.numpy_function(
            lambda places: text[places % len(text)], [places], tf.uint8
        )
        return tf.cast(tf.reshape(found, places.shape), tf.int32), places


def _of_replicas(batches, batch_size, context):
    """Pair each batch number with the rows of each replica in turn."""
    shares = sharding.divide(tf.range(batch_size), batch_size, context)
    return batches.flat_map(
        lambda number: tf.data.Dataset.from_tensor_slices(shares).map(
            lambda rows: (number, rows)
        )
    )
