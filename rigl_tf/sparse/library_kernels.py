"""Products and searches by the native code as a plain library.

For machines where a compiler works, but the headers or the ABI of TensorFlow do
not fit it. The functions take and return tensors and are called from the graph,
like those of `numpy_kernels`.
"""

import ctypes
import pathlib

import numpy as np
import tensorflow as tf

_FLOATS = np.ctypeslib.ndpointer(np.float32, flags="C")
_INT32S = np.ctypeslib.ndpointer(np.int32, flags="C")
_INT64S = np.ctypeslib.ndpointer(np.int64, flags="C")
_INT64 = ctypes.c_int64
_ARGUMENTS = {
    "RiglSlabs": [_FLOATS, _INT64, _INT64, _FLOATS],
    "RiglMultiply": [
        *(_FLOATS, _INT64, _INT64, _FLOATS, _INT64, _INT64S, _INT32S),
        *(ctypes.c_void_p, _FLOATS),
    ],
    "RiglSample": [
        *(_FLOATS, _FLOATS, _INT64, _INT64, _INT64, _INT64S, _INT32S, _FLOATS),
    ],
    "RiglCollect": [
        *(_FLOATS, _INT64, _INT64, _INT64S, _INT64, _INT64S, _INT32S),
        *(_INT64, ctypes.c_int, _INT64, _FLOATS, _INT64S, _INT64S, _FLOATS),
    ],
}


class InstructionSets:
    """The instruction sets among which a library of native code chooses.

    Attributes:
        sets: names of those that this processor has, fastest first.

    Args:
        library: loaded library.
    """

    def __init__(self, library: ctypes.CDLL):
        self._library = library
        library.RiglNameOfSet.restype = ctypes.c_char_p
        self.sets = [
            library.RiglNameOfSet(index).decode()
            for index in range(library.RiglNumberOfSets())
        ]

    def choose(self, name: str) -> None:
        """Take another instruction set; for tests and benchmarks.

        Args:
            name: one of `sets`.
        """
        self._library.RiglChooseSet(self.sets.index(name))


class LibraryKernels(InstructionSets):
    """The functions of `numpy_kernels`, by a plain library.

    Args:
        path: the library.
        n_threads: most threads of a product.
    """

    def __init__(self, path: pathlib.Path | str, n_threads: int):
        super().__init__(ctypes.CDLL(str(path)))
        for name, kinds in _ARGUMENTS.items():
            getattr(self._library, name).argtypes = kinds
            getattr(self._library, name).restype = None
        self._library.RiglPaddedBatch.argtypes = [_INT64]
        self._library.RiglPaddedBatch.restype = _INT64
        self._library.RiglSetThreads(n_threads)

    def hold(self, x: tf.Tensor) -> tf.Tensor:
        """Return a batch as slabs; see `numpy_kernels.hold`."""

        def slabs(x):
            batch, n_features = x.shape
            size = self._library.RiglPaddedBatch(batch) * n_features
            found = np.empty(size, np.float32)
            self._library.RiglSlabs(x, batch, n_features, found)
            return found

        found = tf.numpy_function(slabs, [x], tf.float32, stateful=False)
        return tf.ensure_shape(found, [None])

    def multiply(
        self,
        held: tf.Tensor,
        batch: tf.Tensor,
        values: tf.Tensor,
        starts: tf.Tensor,
        indices: tf.Tensor,
        order: tf.Tensor | None,
    ) -> tf.Tensor:
        """See `numpy_kernels.multiply`."""

        def product(slabs, batch, values, starts, indices, *order):
            n_rows = len(starts) - 1
            found = np.empty((batch, n_rows), np.float32)
            self._library.RiglMultiply(
                *(slabs, batch, self._n_features(slabs, batch), values),
                *(n_rows, starts, indices),
                order[0].ctypes.data if order else None,
                found,
            )
            return found

        arguments = [held, batch, values, starts, indices]
        arguments += [] if order is None else [order]
        found = tf.numpy_function(
            product, arguments, tf.float32, stateful=False
        )
        n_rows = None if starts.shape[0] is None else starts.shape[0] - 1
        return tf.ensure_shape(found, [None, n_rows])

    def sample(
        self,
        held_x: tf.Tensor,
        held_dy: tf.Tensor,
        batch: tf.Tensor,
        starts: tf.Tensor,
        indices: tf.Tensor,
    ) -> tf.Tensor:
        """See `numpy_kernels.sample`."""

        def products(slabs_x, slabs_dy, batch, starts, indices):
            found = np.empty(len(indices), np.float32)
            self._library.RiglSample(
                *(slabs_x, slabs_dy, batch, len(starts) - 1),
                *(self._n_features(slabs_dy, batch), starts, indices, found),
            )
            return found

        arguments = [held_x, held_dy, batch, starts, indices]
        found = tf.numpy_function(
            products, arguments, tf.float32, stateful=False
        )
        return tf.ensure_shape(found, indices.shape)

    def collect(self, *arguments: tf.Tensor) -> list[tf.Tensor]:
        """See `numpy_kernels.collect`."""
        kinds = [tf.float32, tf.int64, tf.int64, tf.float32]
        state = tf.numpy_function(
            self._collect, arguments, kinds, stateful=False
        )
        for tensor, given in zip(state, arguments[8:]):
            tensor.set_shape(given.shape)
        return list(state)

    def _collect(
        self, tile, row, column, width, starts, indices, k, is_last, *state
    ):
        scores, positions, n, threshold = (np.array(part) for part in state)
        n, threshold = np.reshape(n, 1), np.reshape(threshold, 1)
        self._library.RiglCollect(
            *(tile, *tile.shape, np.array([row, column, width], np.int64)),
            *(len(starts) - 1, starts, indices, k, bool(is_last)),
            *(len(scores), scores, positions, n, threshold),
        )
        return scores, positions, n[0], threshold[0]

    def _n_features(self, slabs, batch):
        return len(slabs) // max(1, self._library.RiglPaddedBatch(batch))
