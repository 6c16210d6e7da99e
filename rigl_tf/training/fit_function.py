"""The function that Keras' `fit` calls to make steps and mask updates."""

from collections.abc import Callable
import types
import typing

import tensorflow as tf

from rigl_tf.datasets import pipelines
from rigl_tf.training import update_clock

if typing.TYPE_CHECKING:
    from rigl_tf.training import sparse_model


class FitFunction:
    """Make steps, and mask updates when they are due.

    Keras wants a function of the epoch's iterator that returns metrics, or
    raises StopIteration at the end of the data.

    Args:
        model: compiled `SparseModel`.
        train_step: function of a batch: what each replica does in a step.
        update_step: function of a batch, or of nothing if the updater needs
            none: what it does in a mask update.
    """

    def __init__(
        self,
        model: "sparse_model.SparseModel",
        train_step: Callable,
        update_step: Callable,
    ):
        self._model = model
        self._strategy = model.distribute_strategy
        self._replica_functions = train_step, update_step
        self._clock: typing.Any = None  # read at the next call
        self._iterator: typing.Any = None
        self._steps_of_epoch = 0
        self._build()

    def _build(self):
        """Compile the functions for the updater as it is now."""
        self._updater = self._model.steps.updater
        replica_functions = map(self._compiled, self._replica_functions)
        self._train_step, self._update_step = replica_functions
        functions = (self._run_steps, self._run_step_on, self._run_update)
        if not self._model.run_eagerly:
            functions = [tf.function(f, autograph=False) for f in functions]
        self._steps, self._step_on, self._update = functions

    def forget_steps(self) -> None:
        """Read the step counter from the device again, before the next step."""
        self._clock = None

    def __call__(self, iterator: typing.Any) -> dict[str, tf.Tensor]:
        """Make `steps_per_execution` steps, or as many as there are batches."""
        if isinstance(iterator, types.GeneratorType):  # of `train_on_batch`
            iterator = _repeated(next(iterator))
        if self._updater is not self._model.steps.updater:  # was planned
            self._build()
            self._clock = None
        if self._clock is None:
            self._clock = update_clock.HostClock(self._model.steps)
        if iterator is not self._iterator:
            self._iterator, self._steps_of_epoch = iterator, 0
        clock, batch, logs = self._clock, None, None
        end = clock.step + self._model.steps_per_execution
        while clock.step < end:
            if clock.due(before_step=True):
                # Taken on the host: if the data ended inside the update, its
                # assignments that need no batch would still take effect.
                batch = self._next_batch(iterator)
                if batch is not None and not batch.has_value():
                    batch = None
                    break
                self._update(batch)
                clock.note_update()
                continue
            n_steps = clock.next_stop([end]) - clock.step
            n_done, found = self._steps(iterator, tf.constant(n_steps))
            n_done = int(n_done)
            logs = found if n_done else logs
            self._count(n_done)
            if n_done < n_steps:
                break
            if clock.due(before_step=False):
                self._update(None)
                clock.note_update()
        if batch is not None and self._steps_of_epoch == 0:
            # The update took the only batch of the epoch.
            logs = self._step_on(batch)
            self._count(1)
        if logs is None:
            raise StopIteration
        return logs

    def _count(self, n_steps):
        self._clock.step += n_steps
        self._steps_of_epoch += n_steps

    def _run_steps(self, iterator, n_steps):
        """Run up to `n_steps` steps; return how many, and the metrics."""

        def one_step(n_done, batch):
            self._strategy.run(self._train_step, (batch.get_value(),))
            n_done += 1
            # Beyond the last step no batch is taken.
            batch = tf.cond(
                n_done < n_steps, iterator.get_next_as_optional, lambda: batch
            )
            return [n_done, batch]

        n_done, _ = tf.while_loop(
            lambda n_done, batch: (n_done < n_steps) & batch.has_value(),
            one_step,
            [tf.constant(0), iterator.get_next_as_optional()],
        )
        return n_done, self._logs()

    def _next_batch(self, iterator):
        """Return an optional batch; None if updates need none."""
        if not self._updater.needs.batch:
            return None
        return iterator.get_next_as_optional()

    def _run_step_on(self, batch):
        """Run a step on the batch of an update; return the metrics."""
        self._strategy.run(self._train_step, (batch.get_value(),))
        return self._logs()

    def _run_update(self, batch):
        """Run a mask update on a batch, or without one."""
        given = () if batch is None else (batch.get_value(),)
        self._strategy.run(self._update_step, given)

    def _logs(self):
        logs = self._strategy.run(self._model.get_metrics_result)
        return tf.nest.map_structure(
            lambda x: self._strategy.experimental_local_results(x)[0], logs
        )

    def _compiled(self, function):
        if self._model.run_eagerly or not self._model.jit_compile:
            return function
        return tf.function(function, autograph=False, jit_compile=True)


def _repeated(batch):
    """Return an iterator that yields one batch again and again."""
    parts = tuple(part for part in batch if part is not None)
    batches = tf.data.Dataset.from_tensors(parts).repeat()
    return iter(batches.with_options(pipelines.UNTUNED))
