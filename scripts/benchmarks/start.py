"""Measure what comes before the second step: `sparsify`, tracing, updates.

Candidates take turns in rounds; figures are medians and ratios of medians. A
second, identical dense model shows the noise floor.

    python scripts/benchmarks/start.py --rounds 5
"""

import argparse
import statistics
import time

import common
import keras
import tensorflow as tf

import rigl_tf
from rigl_tf import text_tables
from rigl_tf import updaters


def first_step(build, masked):
    """Time the first step of `fit`, tracing included, of a fresh model."""
    keras.utils.clear_session()
    model, batch_size = build()
    data = common.batches(model, batch_size)
    if masked:
        model = rigl_tf.SparseModel(
            rigl_tf.sparsify(model, 0.9), common.updater()
        )
    model.compile(common.optimizer(), common.LOSS)
    data = tf.data.Dataset.from_tensors(next(data))
    began = time.perf_counter()
    model.fit(data, epochs=1, verbose=0)
    return time.perf_counter() - began


def first_update(build):
    """Time the first update of the masks by RigL: `(traced, again)`."""
    keras.utils.clear_session()
    model = rigl_tf.sparsify(build()[0], 0.9)
    method = updaters.RigL(update_end_step=1000, drop_fraction=0.3)
    pair = rigl_tf.SparseSteps(model, method, common.optimizer())
    gradients = [tf.random.normal(v.shape) for v in model.trainable_variables]
    update = tf.function(lambda: pair.update_masks(gradients), autograph=False)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        update().numpy()
        times.append(time.perf_counter() - began)
    return times


def start(build, masked):
    """Time a copy of a model: by `sparsify`, or by Keras, with its weights."""
    keras.utils.clear_session()
    model, _ = build()
    began = time.perf_counter()
    if masked:
        rigl_tf.sparsify(model, 0.9)
    else:
        keras.models.clone_model(model).set_weights(model.get_weights())
    return time.perf_counter() - began


def bench_start(build, n_rounds):
    """Compare what comes before the second step."""
    steps, copies, again = ([], []), ([], []), []
    updates = []
    for _ in range(n_rounds):
        for masked in (False, True):
            steps[masked].append(first_step(build, masked))
            copies[masked].append(start(build, masked))
        again.append(first_step(build, False))
        updates.append(first_update(build))
    median = statistics.median
    dense = median(steps[False])
    traced, repeated = (median(t) for t in zip(*updates))
    return {
        "model": build.__name__,
        "dense_first_step_s": dense,
        "noise": median(again) / dense,
        "masked_first_step": median(steps[True]) / dense,
        "sparsify_over_clone": median(copies[True]) / median(copies[False]),
        "first_update_s": traced,
        "second_update_s": repeated,
    }


def table(rows):
    """Return the figures of `bench_start` as Markdown."""
    forms = {
        "dense first step, s": ("dense_first_step_s", ".2f"),
        "dense again": ("noise", ".3f"),
        "masked first step": ("masked_first_step", ".3f"),
        "sparsify / clone": ("sparsify_over_clone", ".3f"),
        "first update, s": ("first_update_s", ".2f"),
        "second update, s": ("second_update_s", ".2f"),
    }
    return text_tables.markdown(
        ["model", *forms],
        [
            [row["model"], *(f"{row[n]:{form}}" for n, form in forms.values())]
            for row in rows
        ],
    )


def main():
    """Measure ResNet-50 and a GPT, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", help="file for the figures")
    arguments = parser.parse_args()
    builds = (common.gpt, common.resnet50)
    rows = [bench_start(build, arguments.rounds) for build in builds]
    print(table(rows))
    print(f"\n{common.software()}")
    common.write_json(arguments.json, rows)


if __name__ == "__main__":
    main()
