"""Choose how the products of sparse layers are computed.

    RIGL_TF_SPARSE=auto|op|library|numpy

"op" is a TensorFlow operation that is compiled on first use; "library" calls
the same native code from the graph, and needs nothing of TensorFlow to be
compiled; "numpy" calls SciPy and NumPy. "auto" takes the first that can be had.
"""

import ctypes
import dataclasses
import functools
import os
import sys
import typing

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.sparse import library_kernels
from rigl_tf.sparse import numpy_kernels
from rigl_tf.sparse.native import build

VARIABLE = "RIGL_TF_SPARSE"
_WORDS = ("auto", "op", "library", "numpy")


@dataclasses.dataclass(frozen=True)
class Backend:
    """How products are computed here.

    Attributes:
        name: "op", "library" or "numpy".
        instructions: instruction set that was chosen, such as "AVX-512".
        path: library of the native code, or None.
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

    Compiles the native code if that has not been done.

    Raises:
        ValueError: `RIGL_TF_SPARSE` is none of "auto", "op", "library" and
            "numpy"; or it is "op" or "library", and that cannot be had.
    """
    wanted = os.environ.get(VARIABLE, "auto")
    checks.one_of(VARIABLE, wanted, _WORDS)
    return _choose(wanted)


@functools.cache
def _choose(wanted):
    if wanted == "numpy":
        return _numpy(f"{VARIABLE}=numpy")
    if wanted != "auto":
        return _load(wanted)
    problems = []
    for name in ("op", "library"):
        try:
            found = _load(name)
        except ValueError as error:
            problems.append(str(error.__cause__))
            continue
        if problems:
            sys.stderr.write(
                "rigl_tf: sparse layers call native code outside of "
                f"TensorFlow, somewhat slower: {problems[0]}\n"
            )
            found = dataclasses.replace(found, reason=problems[0])
        return found
    sys.stderr.write(
        "rigl_tf: sparse layers are computed by SciPy, several times slower "
        f"than by native code: {problems[0]}\n"
    )
    return _numpy(problems[0])


def _numpy(reason):
    return Backend("numpy", "SciPy", None, reason, numpy_kernels)


def _load(name):
    """Return a backend of native code, or raise ValueError."""
    try:
        return {"op": _op, "library": _library}[name]()
    except (build.BuildError, tf.errors.OpError, OSError) as error:
        raise ValueError(
            f"{VARIABLE}={name} needs native code. Received: {error}"
        ) from error


@functools.cache  # a library that is loaded twice registers twice, and aborts
def _op():
    path = str(build.library("op"))
    kernels = NativeKernels(tf.load_op_library(path), ctypes.CDLL(path))
    return Backend(
        "op", kernels.sets[0], path, "native operations load", kernels
    )


@functools.cache
def _library():
    path = str(build.library("library"))
    n_threads = tf.config.threading.get_intra_op_parallelism_threads()
    kernels = library_kernels.LibraryKernels(
        path, n_threads or os.cpu_count() or 1
    )
    reason = f"{VARIABLE}=library"
    return Backend("library", kernels.sets[0], path, reason, kernels)


class NativeKernels(library_kernels.InstructionSets):
    """The native operations, with the functions of `numpy_kernels`.

    Args:
        operations: module of the operations.
        library: the same library for `ctypes`.
    """

    def __init__(self, operations: typing.Any, library: ctypes.CDLL):
        super().__init__(library)
        self._operations = operations

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
