"""Fix the window of mask updates once the length of a run is known."""

import typing
import warnings

import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.updaters import updates_of_run


class Plan:
    """Turn the fractions of the run in an updater into steps, once.

    Attributes:
        updater: the updater given, or after `fix` one with steps; or None.
        n_steps: state variable, the length of the run that the window was
            planned for; -1 before.

    Args:
        updater: `updaters.MaskUpdater`, or None for dense training.
    """

    def __init__(self, updater: updaters.MaskUpdater | None):
        self.updater: typing.Any = updater
        self.n_steps = updaters.state_variable(
            tf.constant(-1, tf.int64), "planned_steps"
        )
        self._given = updater
        self._planned_for = None
        self._warned = updater is None

    def fix(
        self, n_steps: int | None, step: int, last_update_step: int | None
    ) -> bool:
        """Resolve the updater; see `steps.SparseSteps.plan`.

        Args:
            n_steps: optimizer steps of the whole run, or None.
            step: optimizer steps completed.
            last_update_step: step of the last mask update, or None.

        Returns:
            whether the updater has changed.
        """
        if self._given is None:
            return False
        planned = None
        if self._given.has_fractions:
            has_begun = step > 0 or last_update_step is not None
            planned = self._length(n_steps, has_begun)
        changed = False
        if planned is not None and planned != self._planned_for:
            changed = True
            self.updater = self._given.resolved(planned)
            self._planned_for = planned
            self.n_steps.assign(planned)
        if n_steps is not None and not self._warned:
            never = last_update_step is None and self._never(step, n_steps)
            problem = self._problem(n_steps, planned, never)
            if problem is not None:
                self._warned = True
                name = type(self.updater).__name__
                warnings.warn(f"{name}: {problem}", stacklevel=2)
        return changed

    def _length(self, n_steps, has_begun):
        """Return the length that counts; None if unknown.

        That is the first one that training began with.
        """
        value = self.n_steps.value
        planned = int(getattr(value, "values", [value])[0])  # of one replica
        if planned >= 0 and (has_begun or n_steps is None):
            return planned
        return n_steps

    def _never(self, step, n_steps):
        """Say whether a method that updates masks gets no chance to."""
        kind = type(self.updater)
        if kind.next_update is updaters.MaskUpdater.next_update:
            return False
        due = self.updater.next_update(step, None)
        last = updates_of_run.last_possible(self.updater, n_steps)
        return due is None or due > last

    def _problem(self, n_steps, planned, never):
        """Say why the window does not fit the run; None if it does."""
        end = getattr(self.updater, "update_end_step", None)
        if never:
            cure = "a smaller `update_interval`, or another window"
            if hasattr(self.updater, "prune_step"):
                cure = "an earlier `prune_step`"
            dense = ", and the network stays dense"
            return (
                f"no mask update happens in a run of {n_steps} steps"
                f"{dense * self.updater.needs.dense_start}; set {cure}"
            )
        if planned is not None and n_steps > planned:
            return (
                f"the window of mask updates was planned for {planned} steps, "
                f"when training began; this run ends after {n_steps}. To train "
                "in several parts, set `update_end_step` in steps"
            )
        if end is not None and end > n_steps:
            loss = "masks move until the end, a decaying drop fraction too"
            if self.updater.needs.varying_sparsity:
                loss = "the target sparsity may not be reached"
            return (
                f"`update_end_step={end}` lies after the last step, {n_steps}; "
                f"{loss}"
            )
        return None
