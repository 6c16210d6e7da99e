"""Measure what the steps of methods cost, as ratios to dense steps.

An ordinary step of our loop, without updates, and one mask update, both over a
dense step. Static, SET, RigL and most others share one kind of step; what keeps
dense state (averages of dense gradients, dense weights) pays for it.

    python scripts/benchmarks/methods.py --rounds 60
"""

import argparse

import common
import keras

import rigl_tf
from rigl_tf import text_tables
from rigl_tf import updaters

_STEPS_PER_CALL = 5
_WINDOW = {"update_end_step": 1000, "drop_fraction": 0.3}
METHODS = {
    "rigl": lambda: updaters.RigL(**_WINDOW),
    "set": lambda: updaters.SET(**_WINDOW),
    "srigl": lambda: updaters.SRigL(**_WINDOW),
    "rigl_sm": lambda: updaters.RigL(**_WINDOW, redistribution="momentum"),
    "snfs": lambda: updaters.SNFS(**_WINDOW),
    "straight_through": updaters.StraightThrough,
    "sr_ste": lambda: updaters.StraightThrough(refinement=2e-4),
    "top_kast": updaters.TopKAST,
}


def candidates(build, name):
    """Return functions that run some steps, and one update, of a method.

    Args:
        build: function that returns `(dense model, batch size)`.
        name: key of `METHODS`, or None for dense training, without updates.
    """
    model, batch_size = build()
    updater = None if name is None else METHODS[name]()
    if updater is not None:
        shape = "constant_fan_in" if name == "srigl" else "unstructured"
        model = rigl_tf.sparsify(
            model,
            0.9,
            "uniform",
            pattern=shape,
            first_mask="dense" if updater.needs.dense_start else "random",
        )
    trainer = rigl_tf.SparseTrainer(
        model, updater, common.optimizer(), common.LOSS
    )
    iterator = common.batches(model, batch_size)
    trainer.reset_totals(1)
    return (
        lambda: trainer.run_steps(iterator, _STEPS_PER_CALL),
        lambda: trainer.update(iterator),
    )


def bench(build, n_rounds):
    """Return a row per method: `(name, step ratio, update ratio)`."""
    steps, changes = {}, {}
    for name in ("dense", "dense again"):
        steps[name], _ = candidates(build, None)
    for name in METHODS:
        steps[name], changes[name] = candidates(build, name)
    step = common.measure(steps, n_rounds)
    update = common.measure(changes, max(n_rounds // 4, 3))
    dense = step["dense"]
    return [
        (
            name,
            step[name] / dense,
            update[name] / (dense / _STEPS_PER_CALL)
            if name in update
            else None,
        )
        for name in steps
        if name != "dense"
    ]


def main():
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    builds = (common.wide_mlp, common.residual_cnn)
    columns = []
    for build in builds:
        keras.utils.clear_session()
        columns.append(bench(build, arguments.rounds))
    header = ["method"]
    for build in builds:
        header += [f"{build.__name__}: step", "update"]
    rows = []
    for row in zip(*columns):
        rows.append([row[0][0]])
        for _, step, update in row:
            rows[-1] += [
                f"{step:.3f}",
                "–" if update is None else f"{update:.2f}",
            ]
    print(text_tables.markdown(header, rows))
    print(f"\n{common.software()}")


if __name__ == "__main__":
    main()
