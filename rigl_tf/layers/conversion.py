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
from rigl_tf.sparse import blocks
from rigl_tf.sparse import first_values
from rigl_tf.sparse import growth
from rigl_tf.sparse import layers

Compute = typing.Literal["masked", "sparse", "block", "auto"]
# Where "auto" takes sparse layers: below, products gain too little.
_AUTO_DENSITY = 0.15
_AUTO_SIZE = 2**18
# Parts of the configuration of a Dense layer that `choose` has found empty.
_NOT_SPARSE = ("kernel_constraint", "lora_rank", "quantization_config")


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
        compute: "masked": none; "sparse" and "block": all that can; "auto":
            those that gain, of at least 2^18 weights and with a density up to
            0.15.
        pattern: pattern of the masks.
        first_mask: see `masking.sparsify`.

    Returns:
        A dictionary from path to number of connections: weights or blocks.

    Raises:
        ValueError: `compute` is "sparse" or "block", and no kernel can be so.
    """
    checks.one_of("compute", compute, typing.get_args(Compute))
    if compute == "masked":
        return {}
    block = block_of(pattern)
    if compute == "block" and block is None:
        raise ValueError(
            '`compute="block"` needs a pattern of square blocks, scored by '
            'their sums, such as pattern="block_32x32". Received: '
            f"pattern={str(pattern)!r}"
        )
    unstructured = compute != "block" and pattern != patterns.UNSTRUCTURED
    variables = model_paths.variables_by_path(model)
    owners = dict(model_paths.walk(model))
    chosen, reasons = {}, {}
    for path, sparsity in sparsities.items():
        shape = tuple(variables[path].shape)
        size = pattern.n_members(shape)
        n_active = counts.n_ones(size, sparsity)
        owner = owners.get(path.rpartition("/")[0])
        reason = _why_not(owner, n_active / size)
        if reason is None and unstructured:
            reason = f"the pattern {pattern}"
        if reason is None and compute == "block":
            if any(length % block for length in shape):
                reason = f"{shape[0]} x {shape[1]}, no multiples of {block}"
        if reason is None and first_mask == "dense":
            reason = "a dense start"
        if reason is not None:
            reasons[path] = reason
        elif compute != "auto" or (
            n_active <= _AUTO_DENSITY * size and size >= _AUTO_SIZE
        ):
            chosen[path] = n_active
    if compute != "auto" and not chosen:
        found = ", ".join(f"{path} ({why})" for path, why in reasons.items())
        raise ValueError(
            f"`compute={compute!r}` needs a Dense layer with an unstructured "
            'mask, or with "block" one of whole blocks, and a density up to '
            f"{layers.LARGEST_DENSITY}. Received: {found}"
        )
    return chosen


def block_of(pattern: patterns.Pattern) -> int | None:
    """Return the side of the square blocks of a pattern, or None."""
    if not isinstance(pattern, patterns.Block) or pattern.pooling != "sum":
        return None
    tall, wide = pattern.size
    return tall if tall == wide >= 2 else None


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
    pattern: patterns.Pattern,
    first_mask: str,
    seed: int,
    has_values: bool,
) -> layers.SparseDense:
    """Return a truly sparse copy of a layer, with the connections of its mask.

    Args:
        layer: built Dense layer.
        path: structural path of the kernel.
        n_active: number of connections.
        pattern: unstructured, or of square blocks.
        first_mask: "random" or "magnitude".
        seed: seed of the masks.
        has_values: whether the layer has weights; otherwise new ones are drawn.
    """
    config = layer.get_config()
    config["n_active"] = n_active
    for name in _NOT_SPARSE:
        config.pop(name, None)
    sparse: layers.SparseDense
    block = block_of(pattern)
    if block is None:
        sparse = layers.SparseDense.from_config(config)
    else:
        sparse = blocks.BlockDense.from_config({**config, "block": block})
    shape = tuple(layer.kernel.shape)
    sparse.build((None, shape[0]))
    if has_values and first_mask == "magnitude":
        scores = pattern.pool(tf.abs(layer.kernel.value))
        mask = patterns.UNSTRUCTURED.top(scores, n_active)
        sparse.connect(np.flatnonzero(mask.numpy()))
    else:
        sparse.connect(_random(path, sparse, seed))
    if has_values:
        sparse.values.assign(_taken(layer.kernel.value, sparse))
    return sparse


def _taken(kernel, sparse):
    """Return the weights of a dense kernel where a layer is connected."""
    (n_rows, n_columns), block = sparse.grid_shape, sparse.block
    cut = tf.reshape(kernel, [n_rows, block, n_columns, block])
    cut = tf.transpose(cut, [0, 2, 1, 3])
    cut = tf.reshape(cut, [-1, *sparse.unit_shape])
    return tf.gather(cut, sparse.positions())


def _random(path, sparse, seed):
    """Draw the positions of the mask that a masked kernel would have."""
    positions, _ = growth.at_random(
        sparse.kernel_shape,
        tf.zeros([0], tf.int64),
        tf.constant(sparse.n_active, tf.int64),
        draws.stateless_seed(seed, path, "first_mask"),
        sparse.block,
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
    for name in ("n_active", "density", "seed", "block"):
        config.pop(name, None)
    dense = keras.layers.Dense.from_config(config)
    dense.build((None, layer.kernel_shape[0]))
    dense.kernel.assign(layer.matrix().toarray())
    if layer.bias is not None:
        dense.bias.assign(layer.bias)
    return dense
