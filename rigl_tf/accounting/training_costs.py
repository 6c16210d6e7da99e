"""What training costs, by the paper's formulas and over a whole run.

All costs are FLOPs per example. A backward pass costs twice a forward pass:
once for gradients of activations, once for those of weights (appendix H).
"""

import bisect
import itertools

from rigl_tf import checks


def step_flops(updater, sparse, dense, n_steps):
    """Return the mean cost of a batch by the paper's formula for a method.

    The formulas of appendix H, as if masks were updated throughout; where the
    sparsity varies over time, the mean over the batches of the run.

    Args:
        updater: `updaters.MaskUpdater`, or None for dense training.
        sparse: FLOPs f_S of the sparse network's forward pass.
        dense: FLOPs f_D of the dense network's forward pass.
        n_steps: optimizer steps of the run.
    """
    if updater is None:
        return 3 * dense
    updater = _resolved(updater, n_steps)
    # Formulas are for updates at intervals.
    if updater.needs.varying_sparsity or getattr(updater, "update_steps", None):
        n_batches = n_steps
        if updater.needs.batch and not updater.needs.update_is_step:
            n_batches += n_updates(updater, n_steps)
        return run_flops(updater, sparse, dense, n_steps) / n_batches
    return updater.training_flops(sparse, dense)


def run_flops(updater, sparse, dense, n_steps):
    """Return the cost of a whole run, one batch after the other.

    Every optimizer step and every mask update that the run holds: updates end
    at T_end, those on a batch of their own cost extra, and between two updates
    the network is as sparse as the method says (f_D minus the zeros in place).

    Args: as in `step_flops`.
    """
    checks.at_least("n_steps", n_steps, 1, integer=True)
    if updater is None:
        return 3 * dense * n_steps

    updater = _resolved(updater, n_steps)
    if not updater.needs.varying_sparsity:
        n_due = n_updates(updater, n_steps)
        n_ordinary = n_steps - n_due * updater.needs.update_is_step
        ordinary = n_ordinary * updater.step_flops(sparse, dense)
        return ordinary + n_due * updater.update_flops(sparse, dense)

    def forward(progress):
        return dense - progress * (dense - sparse)

    now = forward(0.0 if updater.needs.dense_start else 1.0)
    total = step = 0
    for due in update_steps(updater, n_steps):
        total += (due - step) * updater.step_flops(now, dense)
        total += updater.update_flops(now, dense)
        now = forward(updater.sparsity_progress(due))
        step = due + updater.needs.update_is_step
    return total + (n_steps - step) * updater.step_flops(now, dense)


def final_progress(updater, n_steps):
    """Return the share of the final zeros that a run of `n_steps` reaches."""
    if not updater.needs.varying_sparsity:
        return 1.0
    updater = _resolved(updater, n_steps)
    last = _last_update(updater, n_steps)
    return 0.0 if last is None else updater.sparsity_progress(last)


def n_updates(updater, n_steps):
    """Return how many mask updates a run of `n_steps` has, one by one or not.

    Updates that are not listed (`update_steps`) are at equal intervals.
    """
    updater = _resolved(updater, n_steps)
    if getattr(updater, "update_steps", None):
        return sum(1 for _ in update_steps(updater, n_steps))
    begin = list(itertools.islice(update_steps(updater, n_steps), 2))
    if len(begin) < 2:
        return len(begin)
    first, second = begin
    return 1 + (_last_update(updater, n_steps) - first) // (second - first)


def update_steps(updater, n_steps):
    """Yield the steps at which a run of `n_steps` updates its masks."""
    updater = _resolved(updater, n_steps)
    step, last = 0, None
    while True:
        due = updater.next_update(step, last)
        if due is None or due > _last_possible(updater, n_steps):
            return
        yield due
        last = due
        step = due + 1 if updater.needs.update_is_step else due


def _resolved(updater, n_steps):
    """Return the updater with steps where it has fractions of the run."""
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
    # An update on a batch of its own comes before the step.
    return n_steps - updater.needs.batch
