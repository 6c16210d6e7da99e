"""Costs of training, by the paper's formulas and over a whole run.

All costs are FLOPs per example. A backward pass costs twice as much as a
forward pass: once for gradients of activations, once for those of weights
(appendix H).
"""

import bisect
from collections.abc import Iterator
import itertools
from typing import TYPE_CHECKING

from rigl_tf import checks

if TYPE_CHECKING:
    from rigl_tf.updaters import base


def step_flops(
    updater: "base.MaskUpdater | None",
    sparse: float,
    dense: float,
    n_steps: int,
) -> float:
    """Return the mean cost of a batch by the paper's formula for a method.

    The formulas of appendix H assume that masks are updated throughout. If the
    sparsity varies over time, the result is the mean over the batches of the
    run.

    Args:
        updater: the method, or None for dense training.
        sparse: FLOPs f_S of the sparse network's forward pass.
        dense: FLOPs f_D of the dense network's forward pass.
        n_steps: optimizer steps of the run.
    """
    if updater is None:
        return 3 * dense
    updater = _resolved(updater, n_steps)
    # The formulas assume updates at intervals.
    if updater.sparsity_varies or getattr(updater, "update_steps", None):
        n_batches = n_steps
        if updater.updates_on_batch and not updater.counts_update_steps:
            n_batches += n_updates(updater, n_steps)
        return run_flops(updater, sparse, dense, n_steps) / n_batches
    return updater.training_flops(sparse, dense)


def run_flops(
    updater: "base.MaskUpdater | None",
    sparse: float,
    dense: float,
    n_steps: int,
) -> float:
    """Return the cost of a whole run, per example of a batch.

    The sum over all optimizer steps and all mask updates of the run: updates
    end at T_end, updates on a separate batch cost extra, and between two
    updates the network has the sparsity that the method defines (f_D minus the
    zeros so far).

    See `step_flops` for the arguments.
    """
    checks.at_least("n_steps", n_steps, 1, integer=True)
    if updater is None:
        return 3 * dense * n_steps

    updater = _resolved(updater, n_steps)
    if not updater.sparsity_varies:
        n_due = n_updates(updater, n_steps)
        n_ordinary = n_steps - n_due * updater.counts_update_steps
        ordinary = n_ordinary * updater.step_flops(sparse, dense)
        return ordinary + n_due * updater.update_flops(sparse, dense)

    def forward(progress):
        return dense - progress * (dense - sparse)

    now = forward(0.0 if updater.starts_dense else 1.0)
    total: float = 0
    step = 0
    for due in update_steps(updater, n_steps):
        total += (due - step) * updater.step_flops(now, dense)
        total += updater.update_flops(now, dense)
        now = forward(updater.sparsity_progress(due))
        step = due + updater.counts_update_steps
    return total + (n_steps - step) * updater.step_flops(now, dense)


def final_progress(updater: "base.MaskUpdater", n_steps: int) -> float:
    """Return the fraction of the final zeros that is reached by `n_steps`."""
    if not updater.sparsity_varies:
        return 1.0
    updater = _resolved(updater, n_steps)
    last = _last_update(updater, n_steps)
    return 0.0 if last is None else updater.sparsity_progress(last)


def n_updates(updater: "base.MaskUpdater", n_steps: int) -> int:
    """Return the number of mask updates in a run of `n_steps`.

    Updates are at equal intervals, unless the method lists `update_steps`.
    """
    updater = _resolved(updater, n_steps)
    if getattr(updater, "update_steps", None):
        return sum(1 for _ in update_steps(updater, n_steps))
    begin = list(itertools.islice(update_steps(updater, n_steps), 2))
    if len(begin) < 2:
        return len(begin)
    first, second = begin
    last = _last_update(updater, n_steps)
    return 1 + (last - first) // (second - first)


def update_steps(updater: "base.MaskUpdater", n_steps: int) -> Iterator[int]:
    """Yield the steps at which a run of `n_steps` updates its masks."""
    updater = _resolved(updater, n_steps)
    step, last = 0, None
    while True:
        due = updater.next_update(step, last)
        if due is None or due > _last_possible(updater, n_steps):
            return
        yield due
        last = due
        step = due + 1 if updater.counts_update_steps else due


def _resolved(updater, n_steps):
    """Replace fractions of the run in an updater by steps."""
    return updater.resolved(n_steps) if updater.has_fractions else updater


def _last_update(updater, n_steps):
    """Return the step of the last update, found by bisection, or None."""
    first = next(update_steps(updater, n_steps), None)
    if first is None:
        return None
    last = _last_possible(updater, n_steps)

    def is_beyond(step):
        due = updater.next_update(step, first)
        return due is None or due > last

    steps = range(first + 1, last + 1)
    beyond = bisect.bisect_left(steps, True, key=is_beyond)
    return updater.next_update(first + beyond, first) if beyond else first


def _last_possible(updater, n_steps):
    # An update on a separate batch takes place before the step.
    return n_steps - updater.updates_on_batch
