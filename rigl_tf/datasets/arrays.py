"""Data sets that fit into memory."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import pipelines
from rigl_tf.datasets import sharding


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Labeled examples.

    Attributes:
        inputs: array, [examples, ...].
        labels: integer array, [examples], in [0, n_classes).
    """

    inputs: np.ndarray
    labels: np.ndarray


class ArrayDataset:
    """A data set whose examples are arrays, read when they are first needed.

    Args:
        name: name of the data set, used in error messages.
        input_shape: shape of one example.
        n_classes: number of classes.
        read: function that returns the training and the test `Split`.
        preprocess: function from stored to float32 inputs, [batch, ...]; or
            None if they are stored in that form. Images stored as bytes take a
            quarter of the memory.
        augment: function `(inputs [batch, ...], draws [batch, 3]) -> inputs`
            for training examples, with random integers in [0, 2^30); or None.

    Attributes:
        name: name of the data set.
        input_shape: shape of one example.
        n_classes: number of classes.
    """

    def __init__(
        self,
        name: str,
        input_shape: Sequence[int],
        n_classes: int,
        read: Callable[[], tuple[Split, Split]],
        preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
        augment: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
    ):
        self.name: str = name
        self.input_shape: tuple[int, ...] = tuple(input_shape)
        self.n_classes: int = n_classes
        self._read = read
        self._preprocess = preprocess or tf.identity
        self._augment = augment

    @functools.cached_property
    def splits(self) -> tuple[Split, Split]:
        """The training and the test `Split`, read and checked.

        Raises:
            ValueError: if a split is empty, has the wrong shape, or has labels
                out of range.
            FileNotFoundError: if the data set is not prepared.
        """
        splits = self._read()
        for name, split in zip(("training", "test"), splits):
            self._check(name, split)
        return splits

    @property
    def n_train(self) -> int:
        """Number of training examples."""
        return len(self.splits[0].inputs)

    def check(self, batch_size: int) -> None:
        """Read the data, and require enough training examples for one batch."""
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

    def train(
        self,
        batch_size: int,
        seed: int,
        n_skip: int = 0,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return the endless, shuffled training batches `(inputs, labels)`.

        Every epoch is a permutation that depends only on (seed, epoch), as do
        its augmentations. The last, partial batch of an epoch is dropped.

        Args:
            batch_size: global batch size, in [1, n_train].
            seed: seed of the order.
            n_skip: number of batches that were consumed already; only those of
                the current epoch are skipped one by one.
            context: `tf.distribute.InputContext` if this is the pipeline of one
                of several hosts, or of several replicas; each element is then a
                replica's part of a batch.
        """
        self.check(batch_size)
        n_batches = self.n_train // batch_size
        epoch, n_done = divmod(n_skip, n_batches)
        # Elements per global batch in this pipeline.
        n_parts = context.num_replicas_in_sync // context.num_input_pipelines
        inputs = tf.constant(self.splits[0].inputs)
        labels = tf.constant(self.splits[0].labels)

        def batches_of(epoch):
            order, draws = _order(self.n_train, seed, epoch)
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
            .with_options(pipelines.UNTUNED)
        )

    def test(
        self,
        batch_size: int,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return the test batches `(inputs, labels, weights)`.

        All batches are full: examples that fill the last one have weight 0.

        Args:
            batch_size: global batch size.
            context: input context, see `train`.
        """
        return self.in_order("test", batch_size, context)

    def in_order(
        self,
        split: sharding.Split,
        batch_size: int,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return all examples of a split once, without augmentation.

        Args:
            split: "train" or "test".
            batch_size: as in `test`.
            context: as in `test`.

        Returns:
            Batches `(inputs, labels, weights)`, as those of `test`.
        """
        chosen = self.splits[sharding.SPLITS.index(split)]
        inputs, labels = tf.constant(chosen.inputs), tf.constant(chosen.labels)
        n_examples = len(chosen.inputs)
        n_batches = -(-n_examples // batch_size)
        positions = sharding.divide(
            tf.range(n_batches * batch_size), batch_size, context
        )

        def examples(positions):
            rows = tf.minimum(positions, n_examples - 1)
            weights = tf.cast(positions < n_examples, tf.float32)
            batch = self._preprocess(tf.gather(inputs, rows))
            return batch, tf.gather(labels, rows), weights

        return (
            tf.data.Dataset.from_tensor_slices(positions)
            .map(examples)
            .with_options(pipelines.UNTUNED)
        )


def _order(n_train, seed, epoch):
    """Draw the order of an epoch, and its random integers [n_train, 3]."""
    order = tf.random.experimental.stateless_shuffle(
        tf.range(n_train), tf.stack([seed, epoch]), alg="philox"
    )
    draws = tf.random.stateless_uniform(
        [n_train, 3],
        tf.stack([seed, -1 - epoch]),
        0,
        1 << 30,
        tf.int32,
        alg="philox",
    )
    return order, draws
