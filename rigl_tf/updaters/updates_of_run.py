"""The mask updates of a run of known length: at which steps, and how many."""

import bisect
from collections.abc import Iterator
import itertools

from rigl_tf.updaters import base


def with_steps(updater: base.MaskUpdater, n_steps: int) -> base.MaskUpdater:
    """Return the updater with steps in place of fractions of the run."""
    return updater.resolved(n_steps) if updater.has_fractions else updater


def steps(updater: base.MaskUpdater, n_steps: int) -> Iterator[int]:
    """Yield the steps at which a run updates its masks.

    Args:
        updater: the method.
        n_steps: optimizer steps of the run.
    """
    updater = with_steps(updater, n_steps)
    step, last = 0, None
    while True:
        due = updater.next_update(step, last)
        if due is None or due > last_possible(updater, n_steps):
            return
        yield due
        last = due
        step = due + 1 if updater.needs.update_is_step else due


def count(updater: base.MaskUpdater, n_steps: int) -> int:
    """Return the number of mask updates in a run.

    Updates that are not listed (`update_steps`) are at equal intervals, so
    that long runs need not be followed step by step.
    """
    updater = with_steps(updater, n_steps)
    if getattr(updater, "update_steps", None):
        return sum(1 for _ in steps(updater, n_steps))
    begin = list(itertools.islice(steps(updater, n_steps), 2))
    if len(begin) < 2:
        return len(begin)
    first, second = begin
    last = _last(updater, n_steps)
    return 1 + (last - first) // (second - first)


def final_progress(updater: base.MaskUpdater, n_steps: int) -> float:
    """Return the share of the final zeros that a run reaches, in [0, 1]."""
    if not updater.needs.varying_sparsity:
        return 1.0
    updater = with_steps(updater, n_steps)
    if next(steps(updater, n_steps), None) is None:
        return 0.0
    return updater.sparsity_progress(_last(updater, n_steps))


def last_possible(updater: base.MaskUpdater, n_steps: int) -> int:
    """Return the last step at which a run can update its masks."""
    # An update on a batch of its own comes before a step.
    return n_steps - updater.needs.batch


def _last(updater, n_steps):
    """Return the step of the last update, found by bisection."""
    first = next(steps(updater, n_steps))
    last = last_possible(updater, n_steps)

    def is_beyond(step):
        due = updater.next_update(step, first)
        return due is None or due > last

    later = range(first + 1, last + 1)
    beyond = bisect.bisect_left(later, True, key=is_beyond)
    return updater.next_update(first + beyond, first) if beyond else first
