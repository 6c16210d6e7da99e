"""Measure what masks cost: step, loop and mask update, as ratios.

Every figure is a ratio of medians over rounds in which all candidates take
turns, in an order that rotates, so that a busy machine slows all alike. A
second, identical dense model shows the noise floor.

    python scripts/benchmarks/step.py --rounds 200
    python scripts/benchmarks/step.py --rounds 20 --models wrn22_2 resnet50 gru
"""

import argparse
import datetime
import os
import platform
import time

import common
import keras
import tensorflow as tf

import rigl_tf
from rigl_tf import models
from rigl_tf import text_tables
from rigl_tf import updaters


def keras_step(build, steps_per_execution=1, masked=False):
    """Return a function that runs Keras' `train_function` once."""
    model, batch_size = build()
    if masked:
        model = rigl_tf.SparseModel(
            rigl_tf.sparsify(model, 0.9), common.updater()
        )
    model.compile(
        common.optimizer(), common.LOSS, steps_per_execution=steps_per_execution
    )
    model.make_train_function()
    inner = model.model if masked else model
    iterator = common.batches(inner, batch_size)
    return lambda: float(model.train_function(iterator)["loss"])


def trainer_steps(build, masked):
    """Return a function that runs our loop for some steps."""
    model, batch_size = build()
    method = None
    if masked:
        model, method = rigl_tf.sparsify(model, 0.9), common.updater()
    trainer = rigl_tf.SparseTrainer(
        model, method, common.optimizer(), common.LOSS
    )
    iterator = common.batches(model, batch_size)
    trainer.reset_totals(1)
    return lambda: trainer.run_steps(iterator, common.STEPS_PER_CALL)


def tape_step(build, masked):
    """Return a function that runs one step of a loop of one's own."""
    model, batch_size = build()
    iterator, opt = common.batches(model, batch_size), common.optimizer()
    if masked:
        model = rigl_tf.sparsify(model, 0.9)
        apply = rigl_tf.SparseSteps(
            model, common.updater(), opt
        ).apply_gradients
    else:
        opt.build(model.trainable_variables)
        apply = opt.apply

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = common.LOSS(y, model(x, training=True))
        variables = [v.value for v in model.trainable_variables]
        apply(tape.gradient(loss, variables))
        return loss

    return lambda: float(step(*next(iterator)))


def bench_model(build, n_rounds):
    """Compare the steps of one model, then the loops."""
    step = common.measure(
        {
            "dense": keras_step(build),
            "dense again": keras_step(build),
            "masked": keras_step(build, masked=True),
        },
        n_rounds,
    )
    loop = common.measure(
        {
            "keras": keras_step(build, common.STEPS_PER_CALL),
            "dense": trainer_steps(build, masked=False),
            "masked": trainer_steps(build, masked=True),
        },
        max(n_rounds // 4, 5),
    )
    tape = common.measure(
        {
            "dense": tape_step(build, masked=False),
            "masked": tape_step(build, masked=True),
        },
        n_rounds,
    )
    return {
        "model": build.__name__,
        "dense_step_ms": step["dense"],
        "noise": step["dense again"] / step["dense"],
        "masked_step": step["masked"] / step["dense"],
        "loop_over_keras": loop["dense"] / loop["keras"],
        "masked_loop": loop["masked"] / loop["dense"],
        "masked_tape": tape["masked"] / tape["dense"],
    }


def bench_update(n_rounds):
    """Return the seconds of RigL's updates of the kernels of ResNet-50.

    Tracing, the first call, which optimizes the graph, and the median call.
    """
    model = models.resnet((224, 224, 3), 1000)
    model = rigl_tf.sparsify(model, 0.8)
    method = updaters.RigL(update_end_step=1000, drop_fraction=0.3)
    pair = rigl_tf.SparseSteps(model, method, common.optimizer())
    gradients = [
        tf.random.normal(v.shape, seed=i)
        for i, v in enumerate(model.trainable_variables)
    ]
    update = tf.function(lambda: pair.update_masks(gradients), autograph=False)
    began = time.perf_counter()
    traced = update.get_concrete_function()
    seconds = {"tracing": time.perf_counter() - began}
    began = time.perf_counter()
    traced()
    seconds["first"] = time.perf_counter() - began
    milliseconds = common.measure({"update": traced}, n_rounds)["update"]
    return {**seconds, "update": milliseconds / 1000}


def table(rows):
    """Return the figures of `bench_model` as Markdown."""
    ratios = {
        "dense again": "noise",
        "masked fit": "masked_step",
        "our loop / Keras'": "loop_over_keras",
        "masked loop / dense loop": "masked_loop",
        "masked tape / dense tape": "masked_tape",
    }
    return text_tables.markdown(
        ["model", "dense fit step, ms", *ratios],
        [
            [
                row["model"],
                f"{row['dense_step_ms']:.2f}",
                *(f"{row[name]:.3f}" for name in ratios.values()),
            ]
            for row in rows
        ],
    )


def main():
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--models",
        nargs="+",
        choices=common.MODELS,
        default=("digits_mlp", "wide_mlp", "residual_cnn"),
    )
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.models:
        keras.utils.clear_session()
        rows.append(bench_model(common.MODELS[name], arguments.rounds))
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "software": common.software(),
        "keras": keras.__version__,
        "rounds": arguments.rounds,
        "models": rows,
        "resnet50_update_seconds": bench_update(max(arguments.rounds // 20, 3)),
    }
    print(table(rows))
    seconds = report["resnet50_update_seconds"]
    print(
        "\nMask update of ResNet-50's 54 kernels: {update:.2f} s, the first "
        "{first:.2f} s after {tracing:.2f} s of tracing".format(**seconds)
    )
    print(f"\n{common.software()}")
    common.write_json(arguments.json, report)


if __name__ == "__main__":
    main()
