"""What a finished run leaves behind: result.json, model.keras, masks.npz."""

import json
import math
import platform
import time

import keras
import tensorflow as tf

from rigl_tf import accounting
from rigl_tf import files
from rigl_tf.accounting import dead_units
from rigl_tf.accounting import training_costs
from rigl_tf.export import keras_file
from rigl_tf.layers import model_paths
from rigl_tf.masks import counts


def write_json(path, value):
    """Write a JSON file atomically."""
    files.write_text(files.path(path), json.dumps(value, indent=1) + "\n")


def sparsity_report(statistics):
    """Report target and achieved sparsity of each kernel and of all.

    Args:
        statistics: `mask_statistics.MaskStatistics` of the run.

    Returns:
        dictionary with "sparsity_achieved", "itop_rate" and "layers".
    """
    kernels = statistics.layers()
    size = sum(math.prod(kernel["shape"]) for kernel in kernels)
    n_active = sum(kernel["n_active"] for kernel in kernels)
    return {
        "sparsity_achieved": 1 - n_active / size if size else 0.0,
        "itop_rate": statistics.itop_rate() if size else None,
        "layers": kernels,
    }


def planned_layers(model, targets):
    """Report the kernels as `sparsity_report` will, before there are masks.

    Args:
        model: dense Keras model.
        targets: dictionary from kernel path to target sparsity.

    Returns:
        list of dictionaries.
    """
    kernels = model_paths.variables_by_path(model)
    planned = []
    for name, target in targets.items():
        size = math.prod(kernels[name].shape)
        n_active = counts.n_ones(size, target)
        planned.append(
            {
                "name": name,
                "shape": list(kernels[name].shape),
                "target": target,
                "sparsity": 1 - n_active / size,
                "n_active": n_active,
            }
        )
    return planned


def accounting_fields(trainer, updater, batch_size, reference=None):
    """Report what inference and training of a trained model cost.

    A model with an operation that nobody can count is no reason to lose its
    training: the field "not_counted" says what it was.

    Args:
        trainer: `SparseTrainer` at the end of its run.
        updater: `updaters.MaskUpdater` or None.
        batch_size: examples in a batch.
        reference: as in `model_fields`.

    Returns:
        dictionary.
    """
    try:
        count = accounting.count(trainer.model)
    except ValueError as error:
        return {"not_counted": str(error)}
    return {
        **model_fields(count, reference),
        **training_fields(count, updater, trainer.step, batch_size, reference),
        **dead_units.without_dead_units(trainer),
    }


def model_fields(count, reference=None):
    """Report what a model costs: FLOPs of an inference, parameters, bytes.

    Args:
        count: `accounting.ModelCount`.
        reference: `ModelCount` of the dense network of width 1, with which
            costs are compared; None for that of the same width.

    Returns:
        dictionary of numbers.
    """
    dense = reference or count.dense
    return {
        "parameters": count.parameters,
        "active_parameters": count.active,
        "inference_flops": count.flops,
        "inference_flops_ratio": _ratio(count.flops, dense.flops),
        "model_bytes": math.ceil(count.bytes),
        "model_bytes_csr": math.ceil(count.csr_bytes),
        "dense_bytes": math.ceil(dense.bytes),
    }


def training_fields(count, updater, steps, batch_size, reference=None):
    """Report what training costs, as multiples of dense training.

    "published" is the paper's formula for the method; "run" adds up the steps
    and mask updates of this run, one by one.

    Args:
        count: `accounting.ModelCount` of the sparse model.
        updater: `updaters.MaskUpdater` or None.
        steps: optimizer steps of the run.
        batch_size: examples in a batch.
        reference: as in `model_fields`.

    Returns:
        dictionary of numbers; "train_flops" are those of the whole run.
    """
    sparse, dense = count.flops, count.dense.flops
    run = training_costs.run_flops(updater, sparse, dense, steps)
    rival = reference.flops if reference else dense
    return {
        "train_flops": run * batch_size,
        "train_flops_ratio_run": _ratio(run, 3 * rival * steps),
        "train_flops_ratio_published": _ratio(
            training_costs.step_flops(updater, sparse, dense, steps), 3 * rival
        ),
    }


def _ratio(a, b):
    return a / b if b else 1.0


def cost_rows(count):
    """List what each layer costs, as dictionaries."""
    names = ("path", "type", "shape", *accounting.TOTALS)
    return [
        {name: getattr(layer, name) for name in names} for layer in count.layers
    ]


def count_file(path, rule="exact", input_shape=None):
    """Count a saved Keras model.

    Args:
        path: of a .keras file.
        rule: as in `accounting.count`.
        input_shape: shape of one example where the file does not tell.

    Returns:
        dictionary with "costs" and "file_bytes", and `model_fields`.
    """
    model = keras_file.load(path)
    count = accounting.count(model, rule=rule, input_shapes=input_shape)
    return {
        "costs": cost_rows(count),
        **model_fields(count),
        "file_bytes": files.size(files.path(path)),
    }


def timing_fields(trainer, result, began):
    """Report the time of this process, and where it went.

    Args:
        trainer: `SparseTrainer` at the end of its run.
        result: dictionary with "train_examples".
        began: `time.monotonic()` at the beginning.

    Returns:
        dictionary with "wall_seconds", "seconds" per activity, and
        "examples_per_second".
    """
    seconds = time.monotonic() - began
    return {
        "wall_seconds": round(seconds, 3),
        "seconds": trainer.stopwatch.since({}),
        "examples_per_second": round(result["train_examples"] / seconds, 1),
    }


def versions():
    """Return the versions that a result depends on."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
