"""Measure what masks cost: step, loop and mask update, as ratios.

Every figure is a ratio of medians over rounds in which all candidates take
turns, in an order that rotates, so that a busy machine slows all alike. A
second, identical dense model shows the noise floor.

    python scripts/bench_step.py --rounds 200
    python scripts/bench_step.py --rounds 20 --models wrn22_2 resnet50 gru
    python scripts/bench_step.py --first_step --rounds 5
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import time

import keras
import numpy as np
import tensorflow as tf

import rigl_tf
from rigl_tf import models
from rigl_tf import updaters

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
_STEPS_PER_CALL = 20


def digits_mlp():
    """Build the digits task's model; batches of 100."""
    return models.mlp((8, 8, 1), 10), 100


def wide_mlp():
    """Build a 4.2 M-weight MLP, in which weights dominate; batches of 64."""
    return models.mlp((1024,), 10, hidden=(2048, 1024)), 64


def residual_cnn():
    """Build a small residual network with BatchNorm; batches of 32."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, padding="same")(inputs)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        skip = keras.layers.Conv2D(filters, 1, strides=strides)(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Conv2D(filters, 3, strides=strides, padding="same")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Conv2D(filters, 3, padding="same")(x)
        x = keras.layers.Add()([x, skip])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    return keras.Model(inputs, keras.layers.Dense(10)(x)), 32


def wrn22_2():
    """Build the WideResNet of CIFAR-10; batches of 16."""
    return models.wide_resnet((32, 32, 3), 10), 16


def resnet50():
    """Build ResNet-50 for 64x64 images; batches of 4."""
    return models.resnet((64, 64, 3), 1000), 4


def gru():
    """Build the character GRU, its states all zero; 32 texts of 64."""
    net = models.char_gru((64,))
    characters = keras.Input((64,), dtype="int32")
    logits, _ = net([characters, keras.ops.zeros((32, 512))])
    return keras.Model(characters, logits), 32


def gpt():
    """Build a small GPT: four blocks of width 128; 16 texts of 64."""
    kl = keras.layers
    tokens = keras.Input((64,), dtype="int32")
    x = kl.Embedding(256, 128)(tokens)
    for _ in range(4):
        y = kl.LayerNormalization()(x)
        y = kl.MultiHeadAttention(4, 32)(y, y, use_causal_mask=True)
        x = kl.Add()([x, y])
        y = kl.Dense(512, "gelu")(kl.LayerNormalization()(x))
        x = kl.Add()([x, kl.Dense(128)(y)])
    logits = kl.Dense(256)(kl.LayerNormalization()(x))
    return keras.Model(tokens, logits), 16


MODELS = {
    build.__name__: build
    for build in (
        digits_mlp,
        wide_mlp,
        residual_cnn,
        wrn22_2,
        resnet50,
        gru,
        gpt,
    )
}


def optimizer():
    """Return the optimizer of all candidates."""
    return keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True)


def updater():
    """Return RigL, whose updates never fall into the measurement."""
    return updaters.RigL(
        update_interval=10**9, update_begin_step=10**8, update_end_step=10**10
    )


def batches(model, batch_size):
    """Return an endless iterator over one random batch."""
    rng = np.random.default_rng(0)
    shape = (batch_size, *model.input_shape[1:])
    x = rng.normal(size=shape).astype(np.float32)
    if model.inputs[0].dtype == "int32":
        x = rng.integers(0, 256, shape, np.int32)
    y = rng.integers(
        0, model.output_shape[-1], (batch_size, *model.output_shape[1:-1])
    )
    data = tf.data.Dataset.from_tensors((tf.constant(x), tf.constant(y)))
    return iter(data.cache().repeat())


def keras_step(build, steps_per_execution=1, masked=False):
    """Return a function that runs Keras' `train_function` once."""
    model, batch_size = build()
    if masked:
        model = rigl_tf.SparseModel(rigl_tf.sparsify(model, 0.9), updater())
    model.compile(optimizer(), _LOSS, steps_per_execution=steps_per_execution)
    model.make_train_function()
    inner = model.model if masked else model
    iterator = batches(inner, batch_size)
    return lambda: float(model.train_function(iterator)["loss"])


def trainer_steps(build, masked):
    """Return a function that runs our loop for some steps."""
    model, batch_size = build()
    method = None
    if masked:
        model, method = rigl_tf.sparsify(model, 0.9), updater()
    trainer = rigl_tf.SparseTrainer(model, method, optimizer(), _LOSS)
    iterator = batches(model, batch_size)
    trainer.reset_totals(1)
    return lambda: trainer.run_steps(iterator, _STEPS_PER_CALL)


def tape_step(build, masked):
    """Return a function that runs one step of a loop of one's own."""
    model, batch_size = build()
    iterator, opt = batches(model, batch_size), optimizer()
    if masked:
        model = rigl_tf.sparsify(model, 0.9)
        apply = rigl_tf.steps.SparseSteps(model, updater(), opt).apply_gradients
    else:
        opt.build(model.trainable_variables)
        apply = opt.apply

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = _LOSS(y, model(x, training=True))
        variables = [v.value for v in model.trainable_variables]
        apply(tape.gradient(loss, variables))
        return loss

    return lambda: float(step(*next(iterator)))


def measure(candidates, n_rounds):
    """Time candidates in turn; return their median milliseconds."""
    names = list(candidates)
    times = {name: [] for name in names}
    for _ in range(3):  # trace, allocate, settle
        for name in names:
            candidates[name]()
    for index in range(n_rounds):
        start = index % len(names)
        for name in names[start:] + names[:start]:
            began = time.perf_counter()
            candidates[name]()
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: statistics.median(t) for name, t in times.items()}


def bench_model(build, n_rounds):
    """Compare the steps of one model, then the loops."""
    step = measure(
        {
            "dense": keras_step(build),
            "dense again": keras_step(build),
            "masked": keras_step(build, masked=True),
        },
        n_rounds,
    )
    loop = measure(
        {
            "keras": keras_step(build, _STEPS_PER_CALL),
            "dense": trainer_steps(build, masked=False),
            "masked": trainer_steps(build, masked=True),
        },
        max(n_rounds // 4, 5),
    )
    tape = measure(
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
    """Time one RigL update of the kernels of ResNet-50."""
    model = models.resnet((224, 224, 3), 1000)
    model = rigl_tf.sparsify(model, 0.8)
    method = updaters.RigL(update_end_step=1000, drop_fraction=0.3)
    pair = rigl_tf.steps.SparseSteps(model, method, optimizer())
    gradients = [
        tf.random.normal(v.shape, seed=i)
        for i, v in enumerate(model.trainable_variables)
    ]
    update = tf.function(lambda: pair.update_masks(gradients), autograph=False)
    return measure({"update": update}, n_rounds)["update"] / 1000


def first_step(build, masked):
    """Time the first step of `fit`, tracing included, of a fresh model."""
    keras.utils.clear_session()
    model, batch_size = build()
    data = batches(model, batch_size)
    if masked:
        model = rigl_tf.SparseModel(rigl_tf.sparsify(model, 0.9), updater())
    model.compile(optimizer(), _LOSS)
    data = tf.data.Dataset.from_tensors(next(data))
    began = time.perf_counter()
    model.fit(data, epochs=1, verbose=0)
    return time.perf_counter() - began


def first_update(build):
    """Time the first update of the masks by RigL: `(traced, again)`."""
    keras.utils.clear_session()
    model = rigl_tf.sparsify(build()[0], 0.9)
    method = updaters.RigL(update_end_step=1000, drop_fraction=0.3)
    pair = rigl_tf.steps.SparseSteps(model, method, optimizer())
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


def print_start(rows):
    """Print the table of `bench_start`."""
    print(
        "| model | dense first step, s | dense again | masked first step "
        "| sparsify / clone | first update, s | second update, s |\n"
        f"{'|---' * 7}|"
    )
    for row in rows:
        _, dense, *ratios, first, second = row.values()
        cells = [f"{dense:.2f}", *(f"{r:.3f}" for r in ratios)]
        cells += [f"{first:.2f}", f"{second:.2f}"]
        print(f"| {row['model']} | {' | '.join(cells)} |")


def main():
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument(
        "--models",
        nargs="+",
        choices=MODELS,
        default=("digits_mlp", "wide_mlp", "residual_cnn"),
    )
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument(
        "--first_step",
        action="store_true",
        help="what precedes the second step, of ResNet-50 and a GPT, instead",
    )
    arguments = parser.parse_args()
    if arguments.first_step:
        rows = [bench_start(b, arguments.rounds) for b in (gpt, resnet50)]
        print_start(rows)
        if arguments.json:
            with open(arguments.json, "w", encoding="utf-8") as stream:
                json.dump(rows, stream, indent=1)
        return
    rows = []
    for name in arguments.models:
        keras.utils.clear_session()
        rows.append(bench_model(MODELS[name], arguments.rounds))
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} CPU cores, {platform.machine()}",
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "rounds": arguments.rounds,
        "models": rows,
        "resnet50_update_seconds": bench_update(max(arguments.rounds // 20, 3)),
    }
    header = "| model | dense fit step, ms | dense again | masked fit "
    header += "| our loop / Keras' | masked loop / dense loop "
    header += "| masked tape / dense tape |"
    print(f"{header}\n{'|---' * 7}|", end="")
    for row in rows:
        print(
            f"\n| {row['model']} | {row['dense_step_ms']:.2f} "
            f"| {row['noise']:.3f} | {row['masked_step']:.3f} "
            f"| {row['loop_over_keras']:.3f} | {row['masked_loop']:.3f} "
            f"| {row['masked_tape']:.3f} |",
            end="",
        )
    seconds = report["resnet50_update_seconds"]
    print(f"\nmask update of ResNet-50's 54 kernels: {seconds:.2f} s")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as stream:
            json.dump(report, stream, indent=1)


if __name__ == "__main__":
    main()
