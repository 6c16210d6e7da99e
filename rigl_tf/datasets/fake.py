"""Random examples, for measurements that shall not wait for data."""

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import sharding
from rigl_tf.datasets import text

_N_EXAMPLES = 1 << 20  # fill every batch that is trained in practice


class FakeDataset:
    """One random batch for ever, of the shapes of another data set.

    The other one needs not be prepared: nothing of it is read.

    Args:
        like: data set to imitate.
    """

    def __init__(self, like):
        self.name = f"fake {like.name}"
        self.input_shape = like.input_shape
        self.n_classes = like.n_classes
        self.n_train = _N_EXAMPLES
        self._is_text = isinstance(like, text.TextDataset)

    def check(self, batch_size):
        """Require that a batch can be filled."""
        checks.batch_size(batch_size, self.n_train, self.name)

    def train(self, batch_size, seed, n_skip=0, context=sharding.EVERYTHING):
        """Return the endless training batches `(inputs, labels)`, all alike.

        Args:
            batch_size: global batch size.
            seed: seed of the batch.
            n_skip: without meaning here.
            context: as in `ArrayDataset.train`.
        """
        del n_skip
        self.check(batch_size)
        return self._batch(batch_size, seed, context).cache().repeat()

    def test(self, batch_size, context=sharding.EVERYTHING):
        """Return one test batch `(inputs, labels, weights)`.

        Args and Returns: as `ArrayDataset.test`.
        """
        return self._batch(batch_size, 0, context).map(
            lambda x, y: (x, y, tf.ones_like(y, tf.float32))
        )

    def _batch(self, batch_size, seed, context):
        """Draw a batch; return the shares of a pipeline's replicas in it."""
        rng = np.random.default_rng(seed)
        shape = (batch_size, *self.input_shape)
        if self._is_text:
            x, y = rng.integers(0, self.n_classes, (2, *shape), np.int32)
        else:
            x = rng.standard_normal(shape, dtype=np.float32)
            y = rng.integers(0, self.n_classes, batch_size, np.int32)
        shares = sharding.divide(tf.range(batch_size), batch_size, context)
        return tf.data.Dataset.from_tensor_slices(
            (tf.gather(x, shares), tf.gather(y, shares))
        )
