"""Count exact costs: operations of one inference, parameters, bytes."""

import collections
from collections.abc import Container
from collections.abc import Mapping
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.accounting import costs
from rigl_tf.accounting import operations
from rigl_tf.accounting import trace
from rigl_tf.layers import candidates
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masked
from rigl_tf.layers import model_paths
from rigl_tf.layers import sparse_kernels
from rigl_tf.masks import counts


def count(
    model: keras.Layer,
    *,
    sparsities: Mapping[str, float] | None = None,
    input_shapes: Any = None,
) -> costs.ModelCount:
    """Count the operations of one inference, the parameters and the bytes.

    Sizes are those of the tensors in the model: biases and activations where
    they exist, including normalization and shortcuts. See
    `accounting.operations` for the operations that count, and
    `accounting.micronet` for the rule of the published tables.

    See `accounting.count` for the arguments, the result and the errors.
    """
    uses, _ = trace.trace(model, input_shapes)
    others: dict[int, operations.Cost]
    others = collections.defaultdict(operations.Cost)
    products: collections.Counter[int] = collections.Counter()
    truly = sparse_kernels.sparse_kernels(model)
    traced_densely = {id(kernel.layer): kernel.kernel for kernel in truly}
    for use in uses:
        cost = _cost(use, model)
        variable = traced_densely.get(id(use.layer), use.variable)
        if cost.is_product and variable is not None:
            products[id(variable)] += use.repeats * cost.multiplications
        else:
            others[id(use.layer)] += cost.times(use.repeats)
    active = active_weights(model, sparsities or {}, products)
    seeds = model_paths.seed_states(model)
    named = {
        id(variable): (path, tuple(variable.shape))
        for path, variable in model_paths.variables_by_path(model).items()
        if path not in seeds
    }
    for kernel in truly:  # counted as what it stands for, without its indices
        named[id(kernel.kernel)] = (kernel.path, kernel.shape)
        for variable in kernel.layer.structure_variables:
            named.pop(id(variable), None)
    counted = [
        _layer(path, layer, others[id(layer)], products, active, named)
        for path, layer in model_paths.walk(model)
        if not isinstance(layer, masked.Masked)
    ]
    return costs.ModelCount(
        tuple(item for item in counted if item.parameters or item.flops)
    )


def _cost(use, model):
    try:
        return operations.cost(use.operation)
    except NotImplementedError as error:
        reason = (
            f"its operation {error} is not counted. Add a function of the "
            "operation to `accounting.operations.COSTS`"
        )
    except ValueError as error:
        reason = str(error)
    (path,) = (path for path, la in model_paths.walk(model) if la is use.layer)
    raise ValueError(
        f"Cannot count layer {path or use.layer.name!r} "
        f"({type(use.layer).__name__}): {reason}"
    )


def _layer(path, layer, other, products, active, named):
    """Count a layer, and remove its variables from `named`: all count once."""
    kernels, parameters, n_bytes = [], 0, 0
    for variable in model_paths.own_variables(layer):
        if id(variable) not in named:
            continue
        name, shape = named.pop(id(variable))
        size = math.prod(shape)
        itemsize = tf.as_dtype(variable.dtype).size
        if id(variable) in products or id(variable) in active:
            kernels.append(
                costs.KernelCount(
                    name,
                    shape,
                    active.get(id(variable), size),
                    products[id(variable)] / max(size, 1),
                    itemsize,
                )
            )
        else:
            parameters += size
            n_bytes += size * itemsize
    return costs.LayerCount(
        path,
        type(layer).__name__,
        tuple(kernels),
        parameters,
        n_bytes,
        other.multiplications,
        other.additions,
    )


def active_weights(
    model: keras.Layer, sparsities: Mapping[str, float], used: Container[int]
) -> dict[int, int]:
    """Map ids of variables to numbers of active weights, unless all are active.

    Args:
        model: built Keras model.
        sparsities: dictionary from kernel path to sparsity, see
            `accounting.count`.
        used: ids of variables that count as kernels.

    Raises:
        ValueError: if a path is not that of a weight.
    """
    by_path = model_paths.variables_by_path(model)
    unknown = sparsities.keys() - by_path.keys()
    if unknown:
        raise ValueError(
            f"`sparsities` names no weight: {min(unknown)!r}. The weights are: "
            f"{', '.join(by_path)}"
        )
    active = {
        id(by_path[path]): counts.n_ones(math.prod(by_path[path].shape), s)
        for path, s in sparsities.items()
    }
    if sparsities:
        return active
    truly = {
        id(k.kernel): k.n_active for k in sparse_kernels.sparse_kernels(model)
    }
    masks = kernel_masks.masked_kernels(model, optional=True)
    if masks or truly:
        return truly | {
            id(item.kernel): int(np.count_nonzero(item.mask.numpy()))
            for item in masks
        }
    maskable = {id(v) for v in candidates.maskable_kernels(model).values()}
    return {
        id(variable): _n_nonzero(variable)
        for variable in by_path.values()
        if id(variable) in maskable or id(variable) in used
    }


def _n_nonzero(kernel):
    """Count nonzero weights; all, if an initializer drew the zeros."""
    size = math.prod(kernel.shape)
    n_active = int(np.count_nonzero(keras.ops.convert_to_numpy(kernel)))
    return n_active if size / 100 <= size - n_active < size else size
