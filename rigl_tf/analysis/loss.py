"""The loss of a network as a function of its weights, on fixed examples."""

from collections.abc import Callable
from collections.abc import Iterator
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.analysis import weights
from rigl_tf.training import losses
from rigl_tf.training.hardware import batch_norms

# A loss of Keras: `(labels, outputs) -> mean over the batch`.
LossFunction: TypeAlias = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Loss:
    """The mean loss L(w) of fixed examples, without regularization.

    Layers work as in evaluation: no dropout, and batch normalization uses
    moving statistics. Those belong to one w only, so they are estimated again
    for each w: the mean and the variance of every batch, averaged over
    `n_statistics` examples (Garipov et al. 2018, section 4).

    Sums over batches are made in float64, a batch is computed in float32.

    Args:
        network: the network; see `weights.of_network`.
        inputs: examples, [n, ...].
        labels: labels, [n].
        function: loss of Keras; cross-entropy of logits by default.
        batch_size: number of examples in a batch, at least 1.
        n_statistics: number of examples for the moving statistics.

    Attributes:
        n_examples: number of examples n.

    Raises:
        ValueError: there is no example, or not one label each.
    """

    def __init__(
        self,
        network: weights.Given,
        inputs: np.ndarray,
        labels: np.ndarray,
        function: LossFunction | None = None,
        batch_size: int = 1000,
        n_statistics: int = 10_000,
    ):
        checks.at_least("batch_size", batch_size, 1, integer=True)
        checks.at_least("n_statistics", n_statistics, 1, integer=True)
        _require_examples(inputs, labels)
        given = weights.of_network(network)
        self.n_examples: int = len(inputs)
        self._model = given.model
        self._shapes = list(given.shapes.values())
        self._function = function or losses.SmoothedCrossentropy()
        self._inputs, self._labels = inputs, labels
        self._batch_size = min(batch_size, len(inputs))
        self._n_statistics = n_statistics
        self._state = [
            tf.constant(v) for v in self._model.non_trainable_variables
        ]
        self._norms = _moving_statistics(self._model)
        self._compute = tf.function(self._sums, reduce_retracing=True)
        self._derive = tf.function(self._gradient, reduce_retracing=True)
        self._multiply = tf.function(self._product, reduce_retracing=True)
        self._normalize = tf.function(self._statistics, reduce_retracing=True)

    def value(self, vector: np.ndarray) -> tuple[float, float]:
        """Return the loss and the accuracy of weights.

        Args:
            vector: weights, [n].

        Returns:
            `(L(w), accuracy)`; the accuracy is NaN unless labels are integers.
        """
        state = self._state_at(vector)
        loss = n_right = 0.0
        for size, x, y in self._batches():
            of_batch, right = self._compute(_tensor(vector), state, x, y)
            loss += float(of_batch) * size
            n_right += float(right)
        return loss / self.n_examples, n_right / self.n_examples

    def gradient(self, vector: np.ndarray) -> tuple[float, float, np.ndarray]:
        """Return the loss, the accuracy and the gradient dL/dw.

        Args:
            vector: weights, [n].

        Returns:
            `(L(w), accuracy, gradient)`: the first two as `value` returns them;
            the gradient is float64, [n].
        """
        state = self._state_at(vector)
        loss, n_right, total = 0.0, 0.0, np.zeros(np.shape(vector))
        for size, x, y in self._batches():
            of_batch, right, gradient = self._derive(
                _tensor(vector), state, x, y
            )
            loss += float(of_batch) * size
            n_right += float(right)
            total += gradient.numpy().astype(float) * size
        n = self.n_examples
        return loss / n, n_right / n, total / n

    def batch_gradient(
        self, vector: np.ndarray, places: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Return loss and gradient of some of the examples, as one batch.

        Batch normalization takes the statistics of this batch.

        Args:
            vector: weights, [n].
            places: indices of the examples.
        """
        x, y = tf.constant(self._inputs[places]), self._labels[places]
        w = _tensor(vector)
        state = (
            self._with_statistics(self._normalize(w, x))
            if self._norms
            else self._state
        )
        loss, _, gradient = self._derive(w, state, x, tf.constant(y))
        return float(loss), gradient.numpy()

    def hessian_product(
        self, vector: np.ndarray, direction: np.ndarray
    ) -> np.ndarray:
        """Return the product H v of the Hessian d2L/dw2 and a direction.

        It is the derivative of `sum(dL/dw * v)`, at the cost of two gradients
        (Pearlmutter 1994); no matrix is made.

        Args:
            vector: weights w, [n].
            direction: v, [n].

        Returns:
            float64 array, [n].
        """
        state = self._state_at(vector)
        total = np.zeros(np.shape(vector))
        for size, x, y in self._batches():
            product = self._multiply(
                _tensor(vector), _tensor(direction), state, x, y
            )
            total += product.numpy().astype(float) * size
        return total / self.n_examples

    def outputs(self, vector: np.ndarray) -> np.ndarray:
        """Return the outputs of the network, [examples, ...]."""
        state = self._state_at(vector)
        call = tf.function(
            lambda w, x: self._call(w, state, x), reduce_retracing=True
        )
        return np.concatenate(
            [call(_tensor(vector), x).numpy() for _, x, _ in self._batches()]
        )

    def _call(self, vector, state, x):
        return self._model.stateless_call(
            self._divided(vector), state, x, training=False
        )[0]

    def _divided(self, vector):
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        parts = tf.split(vector, sizes)
        return [tf.reshape(p, s) for p, s in zip(parts, self._shapes)]

    def _sums(self, vector, state, x, y):
        outputs = self._call(vector, state, x)
        loss = self._function(y, outputs)
        if not y.dtype.is_integer:
            return loss, tf.constant(np.nan)
        is_right = tf.argmax(outputs, -1, y.dtype) == y
        return loss, tf.reduce_sum(tf.cast(is_right, tf.float32))

    def _gradient(self, vector, state, x, y):
        with tf.GradientTape() as tape:
            tape.watch(vector)
            loss, n_right = self._sums(vector, state, x, y)
        return loss, n_right, tape.gradient(loss, vector)

    def _product(self, vector, direction, state, x, y):
        with tf.GradientTape() as outer:
            outer.watch(vector)
            _, _, gradient = self._gradient(vector, state, x, y)
            along = tf.reduce_sum(gradient * tf.stop_gradient(direction))
        return outer.gradient(
            along, vector, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )

    def _statistics(self, vector, x):
        """Return mean and variance of a batch in each normalization."""
        empty = list(self._state)
        for place, _ in self._norms:
            empty[place] = tf.zeros_like(empty[place])
        _, state = self._model.stateless_call(
            self._divided(vector), empty, x, training=True
        )
        # Keras keeps momentum * old + (1 - momentum) * new, and old is zero.
        return [
            state[place] / (1 - momentum) for place, momentum in self._norms
        ]

    def _state_at(self, vector):
        """Return the variables that are not trained, fit for some weights."""
        if not self._norms:
            return self._state
        totals, n_batches, n_seen = None, 0, 0
        for size, x, _ in self._batches():
            found = self._normalize(_tensor(vector), x)
            totals = [a + b for a, b in zip(totals, found)] if totals else found
            n_batches, n_seen = n_batches + 1, n_seen + size
            if n_seen >= self._n_statistics:
                break
        return self._with_statistics([total / n_batches for total in totals])

    def _with_statistics(self, found):
        state = list(self._state)
        for (place, _), value in zip(self._norms, found):
            state[place] = value
        return state

    def _batches(self) -> Iterator[tuple[int, tf.Tensor, tf.Tensor]]:
        for begin in range(0, self.n_examples, self._batch_size):
            here = slice(begin, begin + self._batch_size)
            x, y = self._inputs[here], self._labels[here]
            yield len(x), tf.constant(x), tf.constant(y)


def _tensor(vector):
    return tf.constant(vector, tf.float32)


def _moving_statistics(model: keras.Model) -> list[tuple[int, float]]:
    """List `(index among the variables not trained, momentum)`."""
    places = {id(v): i for i, v in enumerate(model.non_trainable_variables)}
    return [
        (places[id(variable)], layer.momentum)
        for layer in batch_norms.find(model)
        if layer.trainable
        for variable in (layer.moving_mean, layer.moving_variance)
    ]


def _require_examples(inputs, labels):
    if not len(inputs) or len(inputs) != len(labels):
        raise ValueError(
            "An analysis needs examples, with one label each. Received: "
            f"{len(inputs)} inputs and {len(labels)} labels"
        )
