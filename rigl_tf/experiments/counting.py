"""Count what an experiment or a saved model costs, without training."""

from collections.abc import Sequence
import math
import os
from typing import Any

import keras

from rigl_tf import accounting
from rigl_tf import files
from rigl_tf.experiments import networks
from rigl_tf.experiments import result_fields
from rigl_tf.experiments.experiment import Experiment
from rigl_tf.export import keras_file
from rigl_tf.layers import model_paths
from rigl_tf.masks import counts


def count(experiment: Experiment, rule: str = "exact") -> dict[str, Any]:
    """Count what a run will cost; reads no data and draws no masks.

    Args:
        experiment: the settings.
        rule: "exact" or "published", see `accounting.count`.

    Returns:
        A dictionary with "layers" (name, shape, target, sparsity, n_active),
        "costs", the `accounting.LayerCount` of each layer, and the fields of
        `result_fields.model_fields` and `result_fields.training_fields`.
    """
    dataset = networks.create_dataset(experiment)
    own = networks.Networks(experiment, dataset)
    net = own.dense(own.width)
    targets = own.planned_sparsities(net)
    counted = accounting.count(net, rule=rule, sparsities=targets)
    reference = own.reference(rule)
    return {
        "layers": _planned_layers(net, targets),
        "costs": _cost_rows(counted),
        **result_fields.model_fields(counted, reference),
        **result_fields.training_fields(
            counted,
            experiment.mask_updater,
            experiment.total_steps,
            experiment.batch_size,
            reference,
        ),
    }


def count_file(
    path: str | os.PathLike,
    rule: str = "exact",
    input_shape: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Count a saved Keras model.

    Args:
        path: path of a .keras file.
        rule: as in `accounting.count`.
        input_shape: shape of one example, if the file does not define it.

    Returns:
        A dictionary with "costs", "file_bytes" and the fields of
        `result_fields.model_fields`.
    """
    model = keras_file.load(path)
    counted = accounting.count(model, rule=rule, input_shapes=input_shape)
    return {
        "costs": _cost_rows(counted),
        **result_fields.model_fields(counted),
        "file_bytes": files.size(files.path(path)),
    }


def _planned_layers(
    model: keras.Model, targets: dict[str, float]
) -> list[dict[str, Any]]:
    """List what `result_fields.sparsity_report` will report of each kernel."""
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


def _cost_rows(counted: accounting.ModelCount) -> list[dict[str, Any]]:
    """List the costs of each layer as dictionaries."""
    names = ("path", "type", "shape", *accounting.TOTALS)
    return [
        {name: getattr(layer, name) for name in names}
        for layer in counted.layers
    ]
