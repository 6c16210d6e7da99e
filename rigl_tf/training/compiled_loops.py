"""Functions that TensorFlow compiles: loops of steps, updates, sums, rows."""

from collections.abc import Callable
import typing

import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.training import timing


def summed(
    replica_function: Callable, strategy: tf.distribute.Strategy
) -> Callable[[typing.Any], tf.Tensor]:
    """Return a function of a global batch: the sum over its replicas.

    Args:
        replica_function: function of a replica's share of a batch.
        strategy: strategy that has the replicas.
    """

    def sum_over_replicas(batch):
        sums = strategy.run(replica_function, args=(batch,))
        return strategy.reduce("sum", sums, axis=None)

    return sum_over_replicas


def gathered(
    replica_function: Callable, strategy: tf.distribute.Strategy
) -> Callable[[typing.Any], tf.Tensor]:
    """Return a function of a global batch: the rows of all its replicas.

    See `summed` for the arguments. The rows are in the order of the batch.
    """

    def gather(batch):
        rows = strategy.run(replica_function, args=(batch,))
        return strategy.gather(rows, axis=0)

    return gather


def of_steps(step: Callable[[typing.Any], tf.Tensor]) -> Callable:
    """Return a function that makes a number of steps.

    Args:
        step: function of a global batch that returns the sums of its measures,
            the loss second.

    Returns:
        function `(iterator, n_steps, totals)` that returns the index of the
        first step without a finite loss (-1 for none), the running totals, and
        the seconds spent waiting for batches.
    """

    def train_steps(iterator, n_steps, totals):
        def one_step(index, bad, totals, waited):
            batch, seconds = timing.timed_next(iterator)
            sums = step(batch)
            is_bad = (bad < 0) & ~tf.math.is_finite(sums[1])
            bad = tf.where(is_bad, index, bad)
            totals += tf.cast(sums, totals.dtype)
            return [index + 1, bad, totals, waited + seconds]

        # Sums are carried through: their bits do not depend on the number of
        # steps in a call. Nothing on the host waits for them in between.
        start = [tf.constant(0), tf.constant(-1), totals]
        _, bad, totals, waited = tf.while_loop(
            lambda index, *_: index < n_steps,
            one_step,
            [*start, tf.constant(0.0, tf.float64)],
            parallel_iterations=1,
        )
        return bad, totals, waited

    return train_steps


def of_update(
    replica_update: Callable,
    strategy: tf.distribute.Strategy,
    updater: updaters.MaskUpdater | None,
) -> Callable[[typing.Any], tf.Tensor]:
    """Return a function of an iterator that updates the masks.

    Args:
        replica_update: what a replica does, with its share of a batch or
            without a batch.
        strategy: strategy that has the replicas.
        updater: takes a batch of its own with `needs.batch`; None for dense
            training, which updates nothing.
    """

    def mask_update(iterator):
        takes_batch = updater is not None and updater.needs.batch
        batch = (next(iterator),) if takes_batch else ()
        report = strategy.run(replica_update, args=batch)
        return strategy.experimental_local_results(report)[0]

    return mask_update
