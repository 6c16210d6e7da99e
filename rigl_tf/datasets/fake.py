"""Random examples, for measurements that shall not wait for data."""

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import replicas
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

    def train(self, batch_size, seed, n_skip=0, context=replicas.EVERYTHING):
        """Return the endless training batches `(inputs, labels)`, all alike.

        Args:
            batch_size: global batch size.
            seed: seed of the batch.
            n_skip: without meaning here.
            context: as in `ArrayDataset.train`.
        """
        del n_skip
        self.check(batch_size)
        size = context.get_per_replica_batch_size(batch_size)
        batch = self._draw(size, seed)
        return tf.data.Dataset.from_tensors(batch).cache().repeat()

    def test(self, batch_size, context=replicas.EVERYTHING):
        """Return one test batch `(inputs, labels, weights)`.

        Args and Returns: as `ArrayDataset.test`.
        """
        size = context.get_per_replica_batch_size(batch_size)
        inputs, labels = self._draw(size, 0)
        batch = inputs, labels, tf.ones_like(labels, tf.float32)
        n_parts = replicas.n_parts(context)
        return tf.data.Dataset.from_tensors(batch).repeat(n_parts)

    def _draw(self, size, seed):
        rng = np.random.default_rng(seed)
        shape = (size, *self.input_shape)
        if self._is_text:
            return tuple(rng.integers(0, self.n_classes, (2, *shape), np.int32))
        inputs = rng.standard_normal(shape, dtype=np.float32)
        return inputs, rng.integers(0, self.n_classes, size, np.int32)
