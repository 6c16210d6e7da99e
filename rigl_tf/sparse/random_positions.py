"""Draw positions of a kernel at random, in memory of the number drawn."""

import numpy as np


def distinct(
    size: int, n: int, seed: int | np.random.SeedSequence
) -> np.ndarray:
    """Draw `n` of `size` positions, each set with the same probability.

    Args:
        size: number of positions, below 2**63.
        n: how many to draw, at most half of them.
        seed: seed of the draw.

    Returns:
        ascending int64 array [n].
    """
    return outside(np.zeros(0, np.int64), size, n, seed)


def outside(
    kept: np.ndarray,
    size: int,
    n: int,
    seed: int | np.random.SeedSequence,
) -> np.ndarray:
    """Draw `n` positions that are not in `kept`, by rejection.

    Args:
        kept: ascending positions, at most half of all.
        size: number of positions, below 2**63.
        n: how many to draw, at most half of them.
        seed: seed of the draw.

    Returns:
        ascending int64 array [n].
    """
    generator = np.random.default_rng(seed)
    found = np.zeros(0, np.int64)
    while len(found) < n:
        wanted = n - len(found)
        drawn = generator.integers(0, size, wanted + wanted // 4 + 16)
        drawn = drawn[~_contains(kept, drawn)]
        everything = np.concatenate([found, drawn])
        # Each position where it was drawn first.
        _, first = np.unique(everything, return_index=True)
        found = everything[np.sort(first)][:n]
    return np.sort(found)


def _contains(ascending, wanted):
    if not len(ascending):
        return np.zeros(len(wanted), bool)
    at = np.searchsorted(ascending, wanted)
    at = np.minimum(at, len(ascending) - 1)
    return ascending[at] == wanted
