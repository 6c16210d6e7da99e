"""Choose how the products of sparse layers are computed.

    RIGL_TF_SPARSE=auto|op|numpy

"op" is a TensorFlow operation that is compiled on first use; "numpy" calls
SciPy and NumPy from the graph. "auto" takes the first that can be had.
"""

import ctypes
import dataclasses
import functools
import os
import sys
import typing

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.sparse import numpy_kernels
from rigl_tf.sparse.native import build

VARIABLE = "RIGL_TF_SPARSE"


@dataclasses.dataclass(frozen=True)
class Backend:
    """How products are computed here.

    Attributes:
        name: "op" or "numpy".
        instructions: instruction set that was chosen, such as "AVX-512".
        path: library of the native operations, or None.
        reason: why this backend was taken.
        kernels: module or object with the functions of `numpy_kernels`.
    """

    name: str
    instructions: str
    path: str | None
    reason: str
    kernels: typing.Any = dataclasses.field(repr=False)

    def __str__(self):
        place = f", {self.path}" if self.path else ""
        return f"{self.name} ({self.instructions}{place}): {self.reason}"


def available() -> Backend:
    """Return how products of sparse layers are computed in this process.

    Compiles the native operations if that has not been done.

    Raises:
        ValueError: `RIGL_TF_SPARSE` is none of "auto", "op", "numpy"; or it is
            "op", and the operations cannot be had.
    """
    wanted = os.environ.get(VARIABLE, "auto")
    checks.one_of(VARIABLE, wanted, ("auto", "op", "numpy"))
    return _choose(wanted)


@functools.cache
def _choose(wanted):
    if wanted == "numpy":
        return _numpy(f"{VARIABLE}=numpy")
    try:
        return _native()
    except (build.BuildError, tf.errors.OpError) as error:
        if wanted == "op":
            raise ValueError(
                f"{VARIABLE}=op needs the native operations. Received: {error}"
            ) from error
        sys.stderr.write(
            "rigl_tf: sparse layers are computed by SciPy, several times "
            f"slower than by native operations: {error}\n"
        )
        return _numpy(str(error))


def _numpy(reason):
    return Backend("numpy", "SciPy", None, reason, numpy_kernels)


@functools.cache  # a library that is loaded twice registers twice, and aborts
def _native():
    path = str(build.library())
    kernels = NativeKernels(tf.load_op_library(path), ctypes.CDLL(path))
    return Backend(
        "op", kernels.sets[0], path, "native operations load", kernels
    )


class NativeKernels:
    """The native operations, with the functions of `numpy_kernels`.

    Attributes:
        sets: names of the instruction sets of this processor, fastest first.

    Args:
        operations: module of the operations.
        library: the same library for `ctypes`.
    """

    def __init__(self, operations: typing.Any, library: ctypes.CDLL):
        self._operations = operations
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

    def hold(self, x: tf.Tensor) -> tf.Tensor:
        """Return a batch as slabs; see `numpy_kernels.hold`."""
        return self._operations.rigl_sparse_slabs(x)

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
        order = tf.zeros([0], tf.int32) if order is None else order
        return self._operations.rigl_sparse_multiply(
            held, batch, values, starts, indices, order
        )

    def sample(
        self,
        held_x: tf.Tensor,
        held_dy: tf.Tensor,
        batch: tf.Tensor,
        starts: tf.Tensor,
        indices: tf.Tensor,
    ) -> tf.Tensor:
        """See `numpy_kernels.sample`."""
        return self._operations.rigl_sparse_sample(
            held_x, held_dy, batch, starts, indices
        )

    def collect(self, *arguments: tf.Tensor) -> list[tf.Tensor]:
        """See `numpy_kernels.collect`."""
        return list(self._operations.rigl_sparse_collect(*arguments))
