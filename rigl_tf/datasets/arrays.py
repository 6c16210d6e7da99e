"""Data sets that fit into memory."""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import sharding


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Labelled examples.

    Attributes:
        inputs: array, [examples, ...].
        labels: integer array, [examples], in [0, n_classes).
    """

    inputs: np.ndarray
    labels: np.ndarray


class ArrayDataset:
    """A data set whose examples are arrays, read when they are first needed.

    Args:
        name: what errors call it.
        input_shape: shape of one example.
        n_classes: number of classes.
        read: function that returns the training and the test `Split`.
        preprocess: function from stored to float32 inputs, [batch, ...]; or
            None if they are stored so. Images take a quarter of the memory as
            the bytes that they are.
        augment: function `(inputs [batch, ...], draws [batch, 3]) -> inputs` of
            random integers in [0, 2^30), for training examples; or None.
    """

    def __init__(
        self, name, input_shape, n_classes, read, preprocess=None, augment=None
    ):
        self.name = name
        self.input_shape = tuple(input_shape)
        self.n_classes = n_classes
        self._read = read
        self._preprocess = preprocess or tf.identity
        self._augment = augment

    @functools.cached_property
    def splits(self):
        """The training and the test `Split`, read and checked.

        Raises:
            ValueError: empty splits, wrong shapes, labels out of range.
            FileNotFoundError: the data set is not there.
        """
        splits = self._read()
        for name, split in zip(("training", "test"), splits):
            self._check(name, split)
        return splits

    @property
    def n_train(self):
        """Number of training examples."""
        return len(self.splits[0].inputs)

    def check(self, batch_size):
        """Read the data, and require that a batch can be filled."""
        checks.batch_size(batch_size, self.n_train, self.name)

    def _check(self, name, split):
        inputs, labels = split.inputs, split.labels
        where = f"The {name} split of {self.name!r}"
        if not len(inputs):
            raise ValueError(
                f"{where} must hold at least one example. Received: none"
            )
        if inputs.shape[1:] != self.input_shape:
            raise ValueError(
                f"{where} must hold inputs of shape {self.input_shape}. "
                f"Received: {inputs.shape[1:]}"
            )
        if labels.shape != inputs.shape[:1]:
            raise ValueError(
                f"{where} must have one label per example. Received: "
                f"inputs {inputs.shape}, labels {labels.shape}"
            )
        low, high = labels.min(), labels.max()
        if low < 0 or high >= self.n_classes:
            raise ValueError(
                f"{where} must have labels in [0, {self.n_classes}). "
                f"Received: {low} to {high}"
            )

    def train(self, batch_size, seed, n_skip=0, context=sharding.EVERYTHING):
        """Return the endless, shuffled training batches `(inputs, labels)`.

        Every epoch is a permutation that depends on (seed, epoch) alone, as do
        its augmentations, and drops its last, partial batch.

        Args:
            batch_size: global batch size, in [1, n_train].
            seed: seed of the order.
            n_skip: number of batches that were consumed already; only those of
                the current epoch are skipped one by one.
            context: `tf.distribute.InputContext`, if this is the pipeline of
                one host of several, or of several replicas: each of their
                batches is an element.
        """
        self.check(batch_size)
        n_batches = self.n_train // batch_size
        epoch, n_done = divmod(n_skip, n_batches)
        # Elements per global batch in this pipeline.
        n_parts = context.num_replicas_in_sync // context.num_input_pipelines
        inputs = tf.constant(self.splits[0].inputs)
        labels = tf.constant(self.splits[0].labels)

        def batches_of(epoch):
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self.n_train), tf.stack([seed, epoch]), alg="philox"
            )
            draws = tf.random.stateless_uniform(
                [self.n_train, 3],
                tf.stack([seed, -1 - epoch]),
                0,
                1 << 30,
                tf.int32,
                alg="philox",
            )
            places = sharding.divide(
                tf.range(n_batches * batch_size), batch_size, context
            )
            return tf.data.Dataset.from_tensor_slices(
                (tf.gather(order, places), tf.gather(draws, places))
            )

        def examples(indices, draws):
            batch = self._preprocess(tf.gather(inputs, indices))
            if self._augment is not None:
                batch = self._augment(batch, draws)
            return batch, tf.gather(labels, indices)

        epochs = tf.data.Dataset.range(epoch, np.iinfo(np.int32).max)
        indices = epochs.map(lambda e: tf.cast(e, tf.int32)).flat_map(
            batches_of
        )
        return (
            indices.skip(n_done * n_parts)
            .map(examples, tf.data.AUTOTUNE, deterministic=True)
            .prefetch(tf.data.AUTOTUNE)
            .apply(sharding.ENDLESS)
        )

    def test(self, batch_size, context=sharding.EVERYTHING):
        """Return the test batches `(inputs, labels, weights)`.

        All batches are full: what fills the last one has weight 0.

        Args:
            batch_size: global batch size.
            context: as in `train`.
        """
        inputs = tf.constant(self.splits[1].inputs)
        labels = tf.constant(self.splits[1].labels)
        n_test = len(self.splits[1].inputs)
        n_batches = -(-n_test // batch_size)
        positions = sharding.divide(
            tf.range(n_batches * batch_size), batch_size, context
        )

        def examples(positions):
            rows = tf.minimum(positions, n_test - 1)
            weights = tf.cast(positions < n_test, tf.float32)
            batch = self._preprocess(tf.gather(inputs, rows))
            return batch, tf.gather(labels, rows), weights

        return tf.data.Dataset.from_tensor_slices(positions).map(examples)
