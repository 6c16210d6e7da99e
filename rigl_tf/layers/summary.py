"""Print which weights of a model are masked, which are not, and why."""

import math
from typing import Any

import keras
import numpy as np

from rigl_tf import text_tables
from rigl_tf.layers import candidates
from rigl_tf.layers import masked as layer_masked
from rigl_tf.layers import model_paths
from rigl_tf.layers import sparse_kernels


def summary(model: keras.Layer) -> list[dict[str, Any]]:
    """Print which weights of a model are masked, which are not, and why.

    Args:
        model: built Keras model, masked or not.

    Returns:
        A list with a dictionary per weight of rank 2 or more: "path", "type" of
        its layer, "shape", "sparsity" (None without a mask) and "why".

    Raises:
        TypeError: if `model` is not a Keras model or layer.
    """
    model_paths.require_kind(model, keras.layers.Layer)
    masked = {
        id(kernel): mask
        for _, layer in model_paths.walk(model)
        if isinstance(layer, layer_masked.Masked)
        for _, kernel, mask in layer.masked()
    }
    truly = {id(k.layer): k for k in sparse_kernels.sparse_kernels(model)}
    possible = {id(c.kernel): c for c in candidates.candidates(model)}
    # States of random generators are not weights.
    seen = {id(state) for state in model_paths.seed_states(model).values()}
    rows: list[dict[str, Any]] = []
    n_others = 0
    for path, layer in model_paths.walk(model):
        if isinstance(layer, layer_masked.Masked):
            continue
        if id(layer) in truly:
            rows.append(_truly_sparse(truly[id(layer)]))
            seen |= {id(v) for v in (layer.values, *layer.structure_variables)}
        for variable in model_paths.own_variables(layer):
            if id(variable) in seen:
                continue
            seen.add(id(variable))
            if len(variable.shape) < 2:
                n_others += math.prod(variable.shape)
                continue
            mask = masked.get(id(variable))
            why = _why(variable, layer, mask, possible.get(id(variable)))
            rows.append(
                {
                    "path": f"{path}/{variable.name}".lstrip("/"),
                    "type": type(layer).__name__,
                    "shape": tuple(variable.shape),
                    "sparsity": None
                    if mask is None
                    else 1 - float(np.mean(mask.numpy())),
                    "why": why,
                }
            )
    print(_table(rows))
    print(f"weights of rank 0 and 1, never masked: {n_others:,}")
    return rows


def _truly_sparse(kernel):
    return {
        "path": kernel.path,
        "type": type(kernel.layer).__name__,
        "shape": kernel.shape,
        "sparsity": kernel.sparsity,
        "why": "truly sparse",
    }


def _why(variable, layer, mask, candidate):
    """Return the reason why a weight is masked or dense."""
    if mask is not None:
        return "masked"
    if candidate is None:
        return candidates.why_no_kernel(variable, layer)
    if candidate.why_dense is not None:
        return f"dense unless named in masked_layers: {candidate.why_dense}"
    return "dense as asked for, or not masked yet"


def _table(rows):
    return text_tables.aligned(
        ["path", "type", "shape", "sparsity", "why"],
        [
            [
                row["path"],
                row["type"],
                "x".join(map(str, row["shape"])),
                "–" if row["sparsity"] is None else f"{row['sparsity']:.4f}",
                row["why"],
            ]
            for row in rows
        ],
    )
