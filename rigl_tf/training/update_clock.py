"""Host-side step counter that decides when an update is due."""

from collections.abc import Iterable
import typing

if typing.TYPE_CHECKING:
    from rigl_tf.training import steps


class HostClock:
    """Step counters on the host, so that a loop need not read the device.

    Attributes:
        step: optimizer steps completed.
        last_tried: step of the last mask update, carried out or skipped, or
            None.
        last_done: step of the last that was carried out, or None.
    """

    def __init__(self, trainer: "steps.SparseSteps"):
        self.step = trainer.step
        self.last_tried = trainer.last_update_step
        self.last_done = trainer.last_done_step
        self._trainer: typing.Any = trainer

    def due(self, before_step: bool) -> bool:
        """Say whether an update is due now.

        Args:
            before_step: whether a step is to come (updates that look at a
                batch, and the very first ones) or has just been made.
        """
        updater = self._trainer.updater
        if updater is None or self.last_tried == self.step:
            return False
        if not before_step and updater.needs.batch:
            return False
        return updater.next_update(self.step, self.last_done) == self.step

    def note_update(self) -> None:
        """Count an update; ask the device whether it was skipped."""
        self.last_tried = self.step
        self.last_done = self._trainer.last_done_step
        self.step += int(self._trainer.updater.needs.update_is_step)

    def next_stop(self, stops: Iterable[int]) -> int:
        """Return the step until which there is nothing but steps to do.

        Args:
            stops: steps to come at which others have something to do.
        """
        stops = list(stops)
        if self._trainer.updater is not None:
            due = self._trainer.updater.next_update(
                self.step + 1, self.last_done
            )
            stops += [due] if due is not None else []
        return min(stops)
