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


def shuffled(size, keys):
    """List the positions in the order of `masks.shuffles`, by Python's ints."""
    root = math.isqrt(size)
    tried = range(root, root // 2, -1)[:1000]
    rows = next((n for n in tried if size % n == 0), root + 1)
    lengths = rows, math.ceil(size / rows)

    def step(number):
        cell = list(divmod(number, lengths[1]))
        for index, key in enumerate(keys):
            changed = index % 2
            cell[changed] += _murmur(cell[1 - changed] ^ int(key))
            cell[changed] %= lengths[changed]
        return cell[0] * lengths[1] + cell[1]

    order = []
    for place in range(size):
        number = step(place)
        while number >= size:
            number = step(number)
        order.append(number)
    return np.array(order)


def _murmur(h):
    """Return the last step of MurmurHash3, 32 bits."""
    h = (h ^ h >> 16) * 0x85EBCA6B % 2**32
    h = (h ^ h >> 13) * 0xC2B2AE35 % 2**32
    return h ^ h >> 16
