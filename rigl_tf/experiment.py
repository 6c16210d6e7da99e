"""One run from configuration to result: the only function that gin binds."""

import json
import os
import pathlib
import platform
import time

import keras
import tensorflow as tf

from rigl_tf import callbacks
from rigl_tf import checks
from rigl_tf import mask_files
from rigl_tf import masking
from rigl_tf import trainer as trainers


def train_and_evaluate(
    *,
    workdir,
    task,
    method,
    model,
    dataset,
    updater,
    optimizer,
    sparsity,
    distribution,
    train_steps,
    batch_size,
    custom_sparsities=None,
    dense_layers=(),
    l2=0.0,
    log_interval=100,
    evaluate_interval=None,
    record_masks=False,
    seed=0,
):
    """Train one model with one method, evaluate it, and write the results.

    Args:
        workdir: existing directory for metrics.jsonl, model.keras, masks.npz
            and, written last, result.json.
        task: name of the task, for the result.
        method: name of the method, for the result.
        model: function `(input_shape, n_classes) -> keras.Model` of logits.
        dataset: function that returns a data set, see `rigl_tf.datasets`.
        updater: `updaters.MaskUpdater`, or None for dense training.
        optimizer: function that returns a Keras optimizer.
        sparsity: overall fraction of zeros S, in [0, 1); 0 for dense training.
        distribution: name or function, see `rigl_tf.distributions`.
        train_steps: optimizer steps, at least 1.
        batch_size: examples in a global batch.
        custom_sparsities: fixed sparsities, see `masking.sparsify`.
        dense_layers: kernels without masks, see `masking.sparsify`.
        l2: weight decay wd, `wd/2 * sum(w^2)` over kernels.
        log_interval: steps between two lines of metrics.jsonl.
        evaluate_interval: steps between two evaluations; None for the end only.
        record_masks: whether to keep the masks every `log_interval` steps.
        seed: seed of weights, masks and the order of data.

    Returns:
        the dictionary that result.json holds.
    """
    started = time.monotonic()
    workdir = pathlib.Path(workdir)
    _check(train_steps, updater, sparsity)
    data = dataset()
    keras.utils.set_random_seed(seed)
    net = model(data.input_shape, data.n_classes)
    if updater is not None:
        net = masking.sparsify(
            net,
            sparsity,
            distribution,
            custom=custom_sparsities,
            dense_layers=dense_layers,
            first_mask="dense" if updater.starts_dense else "random",
            seed=seed,
        )
    trainer = trainers.SparseTrainer(
        net,
        updater,
        optimizer(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics={"accuracy": keras.metrics.sparse_categorical_accuracy},
        l2=l2,
    )
    batches = data.train(batch_size, seed)
    test = data.test(batch_size=1000)
    path = workdir / "metrics.jsonl"
    actions = [callbacks.LogMetrics(path, log_interval, train_steps)]
    if evaluate_interval is not None:
        actions.append(callbacks.Evaluate(path, evaluate_interval, test))
    if record_masks:
        recorder = callbacks.RecordMasks(workdir / "masks", log_interval)
        recorder.record(net, 0)
        actions.append(recorder)
    trainer.train(batches, train_steps, actions)
    seconds = time.monotonic() - started
    result = {
        "task": task,
        "method": method,
        "updater": type(updater).__name__ if updater else None,
        "distribution": getattr(distribution, "__name__", distribution),
        "sparsity": sparsity,
        "input_shape": list(data.input_shape),
        **_sparsity_report(trainer.kernels),
        "steps": trainer.step,
        "train_examples": trainer.step * batch_size,
        **trainer.evaluate(test),
        "skipped_updates": int(trainer.skipped_updates.numpy()),
        **_accounting_fields(),
        **_export(net, trainer.kernels, workdir),
        "seed": seed,
        "wall_seconds": round(seconds, 3),
        "examples_per_second": round(trainer.step * batch_size / seconds, 1),
        "versions": _versions(),
    }
    write_json(workdir / "result.json", result)
    return result


def write_json(path, value):
    """Write a JSON file atomically."""
    path = pathlib.Path(path)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(temporary, path)


def _check(train_steps, updater, sparsity):
    checks.at_least("train_steps", train_steps, 1, integer=True)
    checks.fraction("sparsity", sparsity, include_one=False)
    if updater is None and sparsity:
        raise ValueError(
            "Dense training has no masks: leave SPARSITY at 0, or name a "
            f"method such as methods/rigl. Received: sparsity={sparsity}"
        )
    end = getattr(updater, "update_end_step", None)
    if end is not None and end > train_steps:
        raise ValueError(
            "`update_end_step` must not lie after the last step, or the drop "
            "fraction is never annealed to 0. Received: "
            f"update_end_step={end}, train_steps={train_steps} "
            "(set UPDATE_END_STEP and TRAIN_STEPS)"
        )


def _sparsity_report(kernels):
    """Report target and achieved sparsity of each kernel and of all."""
    layers, n_active, size = [], 0, 0
    for item in kernels:
        active = int(item.mask.numpy().sum())
        layers.append(
            {
                "name": item.path,
                "shape": list(item.kernel.shape),
                "target": item.sparsity,
                "sparsity": 1 - active / item.size,
                "n_active": active,
            }
        )
        n_active, size = n_active + active, size + item.size
    return {
        "sparsity_achieved": 1 - n_active / size if size else 0.0,
        "layers": layers,
    }


def _accounting_fields():
    """Name the fields that an account of operations and bytes will fill."""
    return dict.fromkeys(
        (
            "inference_flops",
            "inference_flops_ratio",
            "train_flops_ratio",
            "model_bytes",
            "itop_rate",
        )
    )


def _export(model, kernels, workdir):
    """Write the plain model, and the masks if there are any."""
    path = workdir / "model.keras"
    (masking.strip(model) if kernels else model).save(path)
    if kernels:
        masks = {item.path: item.mask.numpy() for item in kernels}
        mask_files.save(workdir / "masks.npz", masks)
    return {"file_bytes": path.stat().st_size}


def _versions():
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
