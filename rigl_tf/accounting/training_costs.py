"""Costs of training, by the paper's formulas and over a whole run.

All costs are FLOPs per example. A backward pass costs twice as much as a
forward pass: once for gradients of activations, once for those of weights
(appendix H).
"""

from rigl_tf import checks
from rigl_tf.updaters import base
from rigl_tf.updaters import updates_of_run


def step_flops(
    updater: base.MaskUpdater | None,
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
    updater = updates_of_run.with_steps(updater, n_steps)
    # The formulas assume updates at intervals.
    if updater.needs.varying_sparsity or getattr(updater, "update_steps", None):
        n_batches = n_steps
        if updater.needs.batch and not updater.needs.update_is_step:
            n_batches += updates_of_run.count(updater, n_steps)
        return run_flops(updater, sparse, dense, n_steps) / n_batches
    return updater.training_flops(sparse, dense)


def run_flops(
    updater: base.MaskUpdater | None,
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

    updater = updates_of_run.with_steps(updater, n_steps)
    if not updater.needs.varying_sparsity:
        n_due = updates_of_run.count(updater, n_steps)
        n_ordinary = n_steps - n_due * updater.needs.update_is_step
        ordinary = n_ordinary * updater.step_flops(sparse, dense)
        return ordinary + n_due * updater.update_flops(sparse, dense)

    def forward(progress):
        return dense - progress * (dense - sparse)

    now = forward(0.0 if updater.needs.dense_start else 1.0)
    total: float = 0
    step = 0
    for due in updates_of_run.steps(updater, n_steps):
        total += (due - step) * updater.step_flops(now, dense)
        total += updater.update_flops(now, dense)
        now = forward(updater.sparsity_progress(due))
        step = due + updater.needs.update_is_step
    return total + (n_steps - step) * updater.step_flops(now, dense)
