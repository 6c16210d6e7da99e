"""Mask selection in plain numpy: slow, stable sorts, nothing shared."""

import math

import numpy as np


def n_ones(size, sparsity):
    """Count the ones of a fresh mask, in float64."""
    return size - int(np.floor(np.float64(sparsity) * np.float64(size)))


def n_prune(n_active, fraction):
    """Count the connections that an update moves, in float32."""
    return int(np.float32(n_active) * np.float32(fraction))


def order(scores, eligible=None):
    """Rank flat positions: eligible first, large first, low index first."""
    flat = np.asarray(scores).reshape(-1).astype(np.float64)
    if eligible is None:
        return np.argsort(-flat, kind="stable")
    eligible = np.asarray(eligible, bool).reshape(-1)
    ranked = np.argsort(-np.where(eligible, flat, 0.0), kind="stable")
    outside = np.flatnonzero(~eligible)
    return np.concatenate([ranked[eligible[ranked]], outside])


def top_k(scores, k, eligible=None):
    """Mark the `k` largest scores: boolean array."""
    chosen = np.zeros(math.prod(np.shape(scores)), bool)
    chosen[order(scores, eligible)[:k]] = True
    return chosen.reshape(np.shape(scores))


def drop_and_grow(mask, drop_scores, grow_scores, fraction):
    """Move the weakest connections: boolean `(new_mask, grown)`."""
    active = np.asarray(mask, bool)
    moved = n_prune(active.sum(), fraction)
    kept = top_k(drop_scores, active.sum() - moved, active)
    added = top_k(grow_scores, moved, ~kept)
    return kept | added, added & ~active
