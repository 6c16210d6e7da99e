"""Random examples, for benchmarks without the cost of reading data."""

from typing import Protocol

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import pipelines
from rigl_tf.datasets import sharding
from rigl_tf.datasets import text

_N_EXAMPLES = 1 << 20  # enough for every batch size used in practice


class Described(Protocol):
    """What `FakeDataset` needs to know of a data set.

    Attributes:
        name: name of the data set.
        input_shape: shape of one example.
        n_classes: number of classes.
    """

    name: str
    input_shape: tuple[int, ...]
    n_classes: int


class FakeDataset:
    """One random batch, repeated forever, with the shapes of another data set.

    Nothing of the other data set is read, so it need not be prepared.

    Args:
        like: data set to imitate.

    Attributes:
        name: name of the data set.
        input_shape: shape of one example.
        n_classes: number of classes.
        n_train: number of training examples that it claims to have.
    """

    def __init__(self, like: Described):
        self.name: str = f"fake {like.name}"
        self.input_shape: tuple[int, ...] = like.input_shape
        self.n_classes: int = like.n_classes
        self.n_train: int = _N_EXAMPLES
        self._is_text = isinstance(like, text.TextDataset)

    def check(self, batch_size: int) -> None:
        """Require enough training examples for one batch."""
        checks.batch_size(batch_size, self.n_train, self.name)

    def train(
        self,
        batch_size: int,
        seed: int,
        n_skip: int = 0,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return the endless training batches `(inputs, labels)`, all equal.

        Args:
            batch_size: global batch size.
            seed: seed of the batch.
            n_skip: ignored.
            context: input context, see `ArrayDataset.train`.
        """
        del n_skip
        self.check(batch_size)
        return self._batch(batch_size, seed, context).cache().repeat()

    def test(
        self,
        batch_size: int,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return one test batch `(inputs, labels, weights)`.

        See `ArrayDataset.test` for the arguments.
        """
        return self._batch(batch_size, 0, context).map(
            lambda x, y: (x, y, tf.ones_like(y, tf.float32))
        )

    def _batch(self, batch_size, seed, context):
        """Draw a batch, and return the parts of this pipeline's replicas."""
        rng = np.random.default_rng(seed)
        shape = (batch_size, *self.input_shape)
        if self._is_text:
            x, y = rng.integers(0, self.n_classes, (2, *shape), np.int32)
        else:
            x = rng.standard_normal(shape, dtype=np.float32)
            y = rng.integers(0, self.n_classes, batch_size, np.int32)
        shares = sharding.divide(tf.range(batch_size), batch_size, context)
        parts = tf.gather(x, shares), tf.gather(y, shares)
        batches = tf.data.Dataset.from_tensor_slices(parts)
        return batches.with_options(pipelines.UNTUNED)
