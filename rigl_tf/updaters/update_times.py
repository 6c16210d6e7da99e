"""Steps at which masks are updated."""

import bisect
import collections.abc
import dataclasses
import itertools
import typing

import tensorflow as tf

from rigl_tf import checks


class UnknownWindow:
    """Steps that are fractions of a run whose length is not known yet.

    Stands for window and drop-fraction schedule until `MaskUpdater.resolved`
    is given the length; any use before is an error.
    """

    def __call__(self, step: int | tf.Tensor) -> typing.NoReturn:
        """Raise ValueError, whatever the step."""
        raise self._error()

    def __getattr__(self, name):
        if name.startswith("__"):  # copying and pickling look for these
            raise AttributeError(name)
        raise self._error()

    @staticmethod
    def _error():
        return ValueError(
            "A window of mask updates that is a fraction of the run "
            "(`update_end_step=0.75`, the default) needs the length of the "
            "run. `SparseModel.fit` and `SparseTrainer.train` know it; in a "
            "loop of your own set `update_end_step` in steps, or call "
            "`steps.plan(n_steps)` first. Received: no length"
        )


@dataclasses.dataclass(frozen=True)
class UpdateWindow:
    """Steps at which masks are updated.

    Due at t if `begin <= t <= end` and `(t - begin) % interval == 0`.

    Attributes:
        interval: steps between two updates (Delta T), at least 1.
        begin: first step, at least 0.
        end: last step, inclusive (T_end); None never stops.
    """

    interval: int
    begin: int = 0
    end: int | None = None

    def __post_init__(self):
        checks.at_least("update_interval", self.interval, 1, integer=True)
        checks.at_least("update_begin_step", self.begin, 0, integer=True)
        if self.end is not None:
            checks.at_least("update_end_step", self.end, 0, integer=True)
        if self.end is not None and self.end < self.begin:
            raise ValueError(
                "`update_end_step` must not lie before `update_begin_step` "
                "(None never stops). Received: "
                f"update_begin_step={self.begin}, update_end_step={self.end}"
            )

    def next_due(self, step: int) -> int | None:
        """Return the first due step at or after `step`, or None."""
        past = max(step - self.begin, 0)
        due = self.begin + -(-past // self.interval) * self.interval
        return None if self.end is not None and due > self.end else due

    def next_after(self, step: int, last: int | None) -> int | None:
        """Return the first due step from `step` on that is not `last`."""
        return self.next_due(step + (step == last))

    def last_due(self, step: int) -> int | None:
        """Return the last due step up to `step`, or None."""
        step = step if self.end is None else min(step, self.end)
        past = step - self.begin
        return None if past < 0 else step - past % self.interval

    def steps_to_go(self, step: tf.Tensor) -> tf.Tensor:
        """Return the steps from `step` (tensor) to the next update after it."""
        past = tf.cast(step, tf.int64) - self.begin
        within = self.interval - past % self.interval
        to_go = tf.where(past < 0, -past, within)
        if self.end is None:
            return to_go
        over = past + self.begin + to_go > self.end
        return tf.where(over, tf.constant(tf.int64.max), to_go)


@dataclasses.dataclass(frozen=True)
class UpdateSteps:
    """Steps at which masks are updated, one by one.

    Attributes:
        steps: increasing steps, at least one.
        begin: none lies before it.
        end: none lies after it; None for no end.
    """

    steps: collections.abc.Sequence
    begin: int = 0
    end: int | None = None

    def __post_init__(self):
        if not isinstance(self.steps, collections.abc.Sequence):
            raise TypeError(
                "`update_steps` must be a list of steps, or None. Received: "
                f"update_steps={self.steps!r}"
            )
        for step in self.steps:
            checks.at_least("update_steps", step, self.begin, integer=True)
        if not self.steps or any(
            after <= before for before, after in itertools.pairwise(self.steps)
        ):
            raise ValueError(
                "`update_steps` must be steps in increasing order, at least "
                f"one. Received: update_steps={self.steps!r}"
            )
        if self.end is not None and self.steps[-1] > self.end:
            raise ValueError(
                "`update_steps` must not lie after `update_end_step`. "
                f"Received: {self.steps[-1]} > {self.end}"
            )

    def next_due(self, step: int) -> int | None:
        """Return the first due step at or after `step`, or None."""
        index = bisect.bisect_left(self.steps, step)
        return self.steps[index] if index < len(self.steps) else None

    def steps_to_go(self, step: tf.Tensor) -> tf.Tensor:
        """Return the steps from `step` (tensor) to the next update after it."""
        ahead = tf.constant(self.steps, tf.int64) - tf.cast(step, tf.int64)
        never = tf.constant(tf.int64.max)
        return tf.reduce_min(tf.where(ahead > 0, ahead, never))
