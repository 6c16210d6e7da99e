"""Turn dense layers into truly sparse ones, and back."""

from collections.abc import Mapping
import math
import typing

import keras
import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.layers import model_paths
from rigl_tf.masks import counts
from rigl_tf.masks import draws
from rigl_tf.masks import patterns
from rigl_tf.sparse import first_values
from rigl_tf.sparse import growth
from rigl_tf.sparse import layers
from rigl_tf.sparse import random_positions

Compute = typing.Literal["masked", "sparse", "auto"]
# Where "auto" takes sparse layers: below, products gain too little.
_AUTO_DENSITY = 0.15
_AUTO_SIZE = 2**18
# Parts of the configuration of a Dense layer that `choose` has found empty.
_NOT_SPARSE = ("kernel_constraint", "lora_rank", "quantization_config")
# Above, one score for each position takes too long to draw.
_MOST_DRAWS = 2**31


def choose(
    model: keras.Model,
    sparsities: Mapping[str, float],
    compute: Compute,
    pattern: patterns.Pattern,
    first_mask: str,
) -> dict[str, int]:
    """Choose the kernels that become truly sparse.

    Args:
        model: dense model.
        sparsities: dictionary from path to sparsity of the kernels with masks.
        compute: "masked": none; "sparse": all that can; "auto": those that
            gain, of at least 2^18 weights and with a density up to 0.15.
        pattern: pattern of the masks.
        first_mask: see `masking.sparsify`.

    Returns:
        A dictionary from path to number of connections.

    Raises:
        ValueError: `compute="sparse"`, and no kernel can be truly sparse.
    """
    checks.one_of("compute", compute, typing.get_args(Compute))
    if compute == "masked":
        return {}
    variables = model_paths.variables_by_path(model)
    owners = dict(model_paths.walk(model))
    chosen, reasons = {}, {}
    for path, sparsity in sparsities.items():
        size = math.prod(variables[path].shape)
        n_active = counts.n_ones(size, sparsity)
        owner = owners.get(path.rpartition("/")[0])
        reason = _why_not(owner, n_active / size)
        if reason is None and pattern != patterns.UNSTRUCTURED:
            reason = f"the pattern {pattern}"
        if reason is None and first_mask == "dense":
            reason = "a dense start"
        if reason is not None:
            reasons[path] = reason
        elif compute == "sparse" or (
            n_active <= _AUTO_DENSITY * size and size >= _AUTO_SIZE
        ):
            chosen[path] = n_active
    if compute == "sparse" and not chosen:
        found = ", ".join(f"{path} ({why})" for path, why in reasons.items())
        raise ValueError(
            '`compute="sparse"` needs a Dense layer with an unstructured mask '
            f"and a density up to {layers.LARGEST_DENSITY}. Received: {found}"
        )
    return chosen


def _why_not(layer, density):
    """Return why the kernel of a layer cannot be truly sparse, or None."""
    if type(layer) is not keras.layers.Dense:
        return f"kernel of a {type(layer).__name__}"
    if density > layers.LARGEST_DENSITY:
        return f"density {density:.2f}"
    if layer.kernel_constraint is not None:
        return "a constraint on the kernel"
    if layer.lora_enabled or layer.quantization_mode is not None:
        return "low-rank factors or quantized weights"
    if layer.variable_dtype != "float32":
        return f"weights of {layer.variable_dtype}"
    try:
        first_values.of(layer.kernel_initializer, tuple(layer.kernel.shape))
    except ValueError:
        return f"the initializer {type(layer.kernel_initializer).__name__}"
    return None


def to_sparse(
    layer: keras.layers.Dense,
    path: str,
    n_active: int,
    first_mask: str,
    seed: int,
    has_values: bool,
) -> layers.SparseDense:
    """Return a truly sparse copy of a layer, with the connections of its mask.

    Args:
        layer: built Dense layer.
        path: structural path of the kernel.
        n_active: number of connections.
        first_mask: "random" or "magnitude".
        seed: seed of the masks.
        has_values: whether the layer has weights; otherwise new ones are drawn.
    """
    config = layer.get_config()
    config["n_active"] = n_active
    for name in _NOT_SPARSE:
        config.pop(name, None)
    sparse = layers.SparseDense.from_config(config)
    shape = tuple(layer.kernel.shape)
    sparse.build((None, shape[0]))
    if not has_values:
        sparse.connect(_random(path, shape, n_active, seed))
        return sparse
    if first_mask == "magnitude":
        scores = tf.abs(layer.kernel.value)
        mask = patterns.UNSTRUCTURED.top(scores, n_active)
        positions = np.flatnonzero(mask.numpy())
    else:
        positions = _random(path, shape, n_active, seed)
    flat = tf.reshape(layer.kernel.value, [-1])
    sparse.connect(positions, tf.gather(flat, positions))
    return sparse


def _random(path, shape, n_active, seed):
    """Draw the positions of the mask that a masked kernel would have."""
    size = math.prod(shape)
    if size > _MOST_DRAWS:
        draw = draws.stateless_seed(seed, path, "first_mask").numpy()
        return random_positions.distinct(size, n_active, draw.tolist())
    draw = draws.stateless_seed(seed, path, "first_mask")
    tiles = growth.of_draws(shape[1], draw)
    positions, _ = growth.largest(
        *(tiles, shape, tf.zeros([0], tf.int64), tf.constant(n_active)),
        growth.tile_shape(shape, full_width=True),
    )
    return positions.numpy()


def to_dense(layer: layers.SparseDense) -> keras.layers.Dense:
    """Return a Dense layer with the weights of a truly sparse one.

    Args:
        layer: built layer.

    Raises:
        ValueError: the kernel is too large to be stored densely.
    """
    size = math.prod(layer.kernel_shape)
    if size > layers.LARGEST_DENSE:
        raise ValueError(
            "A kernel is made dense up to 2^28 weights: keep the layer with "
            "`strip(model, keep_sparse=True)`, or write its matrix with "
            f"`sparse.save_csr`. Received: {layer.name!r} of "
            f"{layer.kernel_shape[0]} x {layer.kernel_shape[1]}"
        )
    config = layer.get_config()
    for name in ("n_active", "density", "seed"):
        config.pop(name, None)
    dense = keras.layers.Dense.from_config(config)
    dense.build((None, layer.kernel_shape[0]))
    dense.kernel.assign(layer.matrix().toarray())
    if layer.bias is not None:
        dense.bias.assign(layer.bias)
    return dense
