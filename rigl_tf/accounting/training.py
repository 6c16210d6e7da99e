"""What training costs, by the paper's formulas and over a whole run.

All costs are FLOPs per example. A backward pass costs twice a forward pass:
once for gradients of activations, once for those of weights (appendix H).
"""

from rigl_tf import checks


def step_flops(updater, sparse, dense):
    """Return the mean cost of a batch by the paper's formula for a method.

    The formulas of appendix H, as if masks were updated throughout.

    Args:
        updater: `updaters.MaskUpdater`, or None for dense training.
        sparse: FLOPs f_S of the sparse network's forward pass.
        dense: FLOPs f_D of the dense network's forward pass.
    """
    if updater is None:
        return 3 * dense
    return updater.training_flops(sparse, dense)


def run_flops(updater, sparse, dense, n_steps):
    """Return the cost of a whole run, one batch after the other.

    Every optimizer step and every mask update that the run holds: updates end
    at T_end, and those on a batch of their own cost extra.

    Args:
        updater: as in `step_flops`.
        sparse: as in `step_flops`.
        dense: as in `step_flops`.
        n_steps: optimizer steps of the run.
    """
    checks.at_least("n_steps", n_steps, 1, integer=True)
    if updater is None:
        return 3 * dense * n_steps
    n_updates = count_updates(updater, n_steps)
    if updater.counts_update_steps:
        n_steps -= n_updates
    return n_steps * updater.step_flops(sparse, dense) + (
        n_updates * updater.update_flops(sparse, dense)
    )


def count_updates(updater, n_steps):
    """Return how many times a run of `n_steps` updates its masks."""
    step, last, n_updates = 0, None, 0
    while True:
        due = updater.next_update(step, last)
        # An update on a batch of its own comes before the step.
        if due is None or due > n_steps - updater.updates_on_batch:
            return n_updates
        n_updates += 1
        last = due
        step = due + 1 if updater.counts_update_steps else due
