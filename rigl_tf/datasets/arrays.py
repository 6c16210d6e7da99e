"""Data sets that fit into memory."""

import dataclasses

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayDataset:
    """Labelled examples held as arrays.

    Attributes:
        name: what errors call it.
        train_inputs: float32 array, [examples, ...].
        train_labels: integer array, [examples], in [0, n_classes).
        test_inputs, test_labels: as above.
        n_classes: number of classes.
    """

    name: str
    train_inputs: np.ndarray
    train_labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    n_classes: int

    def __post_init__(self):
        for split in ("train", "test"):
            inputs = getattr(self, f"{split}_inputs")
            labels = getattr(self, f"{split}_labels")
            if not len(inputs):
                raise ValueError(
                    f"The {split} split of {self.name!r} must hold at least "
                    "one example. Received: 0 examples"
                )
            if labels.shape != inputs.shape[:1]:
                raise ValueError(
                    f"The {split} split of {self.name!r} must have one label "
                    f"per example. Received: inputs {inputs.shape}, labels "
                    f"{labels.shape}"
                )
            low, high = labels.min(), labels.max()
            if low < 0 or high >= self.n_classes:
                raise ValueError(
                    f"The {split} labels of {self.name!r} must lie in "
                    f"[0, {self.n_classes}). Received: {low} to {high}"
                )
        if self.train_inputs.shape[1:] != self.test_inputs.shape[1:]:
            raise ValueError(
                f"Both splits of {self.name!r} must have one shape. Received: "
                f"{self.train_inputs.shape[1:]} and "
                f"{self.test_inputs.shape[1:]}"
            )

    @property
    def input_shape(self):
        """Shape of one example."""
        return self.train_inputs.shape[1:]

    @property
    def n_train(self):
        """Number of training examples."""
        return len(self.train_inputs)

    def train(self, batch_size, seed, n_skip=0):
        """Return the endless, shuffled training batches `(inputs, labels)`.

        Every epoch is a permutation that depends on (seed, epoch) alone and
        drops its last, partial batch.

        Args:
            batch_size: global batch size, in [1, n_train].
            seed: seed of the order.
            n_skip: number of batches that were consumed already; only those of
                the current epoch are skipped one by one.
        """
        if not 1 <= batch_size <= self.n_train:
            raise ValueError(
                f"`batch_size` must lie in [1, {self.n_train}], the training "
                f"examples of {self.name!r}. Received: batch_size={batch_size}"
            )
        epoch, n_done = divmod(n_skip, self.n_train // batch_size)

        def batches_of(epoch):
            order = tf.random.experimental.stateless_shuffle(
                tf.range(self.n_train), tf.stack([seed, epoch]), alg="philox"
            )
            order = tf.data.Dataset.from_tensor_slices(order)
            return order.batch(batch_size, drop_remainder=True)

        epochs = tf.data.Dataset.range(epoch, np.iinfo(np.int32).max)
        indices = epochs.map(lambda e: tf.cast(e, tf.int32)).flat_map(
            batches_of
        )
        inputs = tf.constant(self.train_inputs)
        labels = tf.constant(self.train_labels)
        return (
            indices.skip(n_done)
            .map(lambda i: (tf.gather(inputs, i), tf.gather(labels, i)))
            .prefetch(tf.data.AUTOTUNE)
        )

    def test(self, batch_size):
        """Return the test batches `(inputs, labels)`, the last one partial."""
        examples = (self.test_inputs, self.test_labels)
        return tf.data.Dataset.from_tensor_slices(examples).batch(batch_size)
