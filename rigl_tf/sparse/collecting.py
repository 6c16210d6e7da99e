"""Collect what sparse layers multiply while gradients are taken.

The dense gradient of a kernel is `X^T G`, of the inputs X [batch, n_in] and the
gradients G [batch, n_out] of the outputs. A mask update needs its largest
entries only, so it takes X and G instead.
"""

from collections.abc import Iterator
import contextlib
import threading

import tensorflow as tf

Pair = tuple[tf.Tensor, tf.Tensor]
_local = threading.local()  # replicas are traced in threads of their own


class Pairs:
    """The pairs (X, G) of each layer, in the order of the backward pass."""

    def __init__(self):
        self._graph = _graph()
        self._by_layer: dict[int, list[Pair]] = {}

    def add(self, layer: object, x: tf.Tensor, dy: tf.Tensor) -> None:
        """Add a pair.

        Args:
            layer: the layer that multiplies.
            x: its inputs [batch, n_in].
            dy: gradients of its outputs [batch, n_out].

        Raises:
            ValueError: the layer was called inside of a loop or a function,
                which tensors cannot leave.
        """
        if getattr(dy, "graph", None) is not self._graph:
            raise ValueError(
                "A sparse layer inside of a loop, an RNN cell or a compiled "
                "function cannot be updated by a method that grows by "
                "gradients: train it with SET or Static. Received: "
                f"{getattr(layer, 'name', layer)!r}"
            )
        self._by_layer.setdefault(id(layer), []).append((x, dy))

    def of(self, layer: object) -> Pair | None:
        """Return the pairs of a layer as one, or None if it had no gradient.

        A layer that was called more than once has the sum of the gradients:
        its batches follow each other.
        """
        pairs = self._by_layer.get(id(layer))
        if not pairs:
            return None
        if len(pairs) == 1:
            return pairs[0]
        xs, dys = zip(*pairs)
        return tf.concat(xs, 0), tf.concat(dys, 0)


def _graph():
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def current() -> Pairs | None:
    """Return the collection of this thread, or None."""
    return getattr(_local, "pairs", None)


@contextlib.contextmanager
def collecting() -> Iterator[Pairs]:
    """Collect pairs instead of the gradients of active weights."""
    before = current()
    _local.pairs = Pairs()
    try:
        yield _local.pairs
    finally:
        _local.pairs = before
