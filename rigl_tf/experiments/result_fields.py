"""The fields of result.json: sparsity, costs, time and versions of a run."""

import json
import math
import os
import platform
import time
from typing import Any

import keras
import tensorflow as tf

from rigl_tf import accounting
from rigl_tf import files
from rigl_tf import updaters
from rigl_tf.accounting import dead_units
from rigl_tf.accounting import training_costs
from rigl_tf.training import sparse_trainer
from rigl_tf.training.callbacks import mask_statistics


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a JSON file atomically."""
    files.write_text(files.path(path), json.dumps(value, indent=1) + "\n")


def sparsity_report(
    statistics: mask_statistics.MaskStatistics,
) -> dict[str, Any]:
    """Report target and achieved sparsity of each kernel and of all.

    Args:
        statistics: mask statistics of the run.

    Returns:
        A dictionary with "sparsity_achieved", "itop_rate" and "layers".
    """
    kernels = statistics.layers()
    size = sum(math.prod(kernel["shape"]) for kernel in kernels)
    n_active = sum(kernel["n_active"] for kernel in kernels)
    return {
        "sparsity_achieved": 1 - n_active / size if size else 0.0,
        "itop_rate": statistics.itop_rate() if size else None,
        "layers": kernels,
    }


def accounting_fields(
    trainer: sparse_trainer.SparseTrainer,
    updater: updaters.MaskUpdater | None,
    batch_size: int,
    reference: accounting.ModelCount | None = None,
) -> dict[str, Any]:
    """Report what inference and training of a trained model cost.

    If an operation of the model cannot be counted, the run still ends: the
    field "not_counted" names the operation.

    Args:
        trainer: trainer at the end of its run.
        updater: mask updater, or None for dense training.
        batch_size: number of examples in a batch.
        reference: as in `model_fields`.
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


def model_fields(
    count: accounting.ModelCount,
    reference: accounting.ModelCount | None = None,
) -> dict[str, float]:
    """Report what a model costs: FLOPs of an inference, parameters, bytes.

    Args:
        count: costs of the model.
        reference: costs of the dense network of width 1, with which FLOPs and
            bytes are compared; None for the dense network of the same width.
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


def training_fields(
    count: accounting.ModelCount,
    updater: updaters.MaskUpdater | None,
    steps: int,
    batch_size: int,
    reference: accounting.ModelCount | None = None,
) -> dict[str, float]:
    """Report what training costs, as multiples of dense training.

    "train_flops_ratio_published" follows the paper's formula for the method;
    "train_flops_ratio_run" adds up the steps and mask updates of this run.

    Args:
        count: costs of the sparse model.
        updater: mask updater, or None for dense training.
        steps: number of optimizer steps of the run.
        batch_size: number of examples in a batch.
        reference: as in `model_fields`.

    Returns:
        A dictionary of numbers; "train_flops" are those of the whole run.
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


def _ratio(a: float, b: float) -> float:
    return a / b if b else 1.0


def timing_fields(
    trainer: sparse_trainer.SparseTrainer,
    result: dict[str, Any],
    began: float,
) -> dict[str, Any]:
    """Report the duration of this process, and how it was spent.

    Args:
        trainer: trainer at the end of its run.
        result: dictionary with "train_examples".
        began: `time.monotonic()` at the beginning.

    Returns:
        A dictionary with "wall_seconds", "seconds" per activity, and
        "examples_per_second".
    """
    seconds = time.monotonic() - began
    return {
        "wall_seconds": round(seconds, 3),
        "seconds": trainer.stopwatch.since({}),
        "examples_per_second": round(result["train_examples"] / seconds, 1),
    }


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
