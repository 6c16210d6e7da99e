"""Select the largest scores with NumPy, where arrays lie in the host's memory.

`selection` describes what is selected, and calls these functions on CPUs: they
need a few passes over the scores, where a search that runs on every device
needs one per bit.
"""

import numpy as np

# Of so many scores, sorted, two enclose the threshold, most often closely.
_N_SAMPLED = 65536


def mark(
    scores: np.ndarray, k: np.ndarray, eligible: np.ndarray | None = None
) -> np.ndarray:
    """Mark the `k` largest scores of a vector, or of each row.

    Args:
        scores: floating-point array, [members] or [rows, members].
        k: integers, a scalar for a vector, else [rows, 1] or [1, 1].
        eligible: boolean array like `scores`; others are marked only if fewer
            than `k` are eligible. None for all.

    Returns:
        A boolean array like `scores`, see `selection.largest`.
    """
    if scores.ndim == 1 and scores.size:
        keys = _bits(scores)
        marked = _mark_by_sample(keys, int(k), eligible)
        if marked is not None:
            return marked
    return _mark_by_partition(_order_keys(scores, eligible), k)


def _bits(scores):
    """Read floats as integers, which sort like them from +0.0 on."""
    if scores.dtype != np.float64:
        scores = scores.astype(np.float32, copy=False)
    return scores.view(f"i{scores.itemsize}")


def _order_keys(scores, eligible):
    """Map scores to integers in the same order; ineligible ones are lowest."""
    keys = _bits(np.where(scores == 0, 0, scores))  # no -0.0
    keys = np.where(keys < 0, keys ^ np.iinfo(keys.dtype).max, keys)
    if eligible is not None:
        keys = np.where(eligible, keys, np.iinfo(keys.dtype).min)
    return keys


def _mark_by_sample(keys, k, eligible):
    """Mark the `k` largest keys, all of them positive, in few passes.

    Two keys of a sorted sample enclose the threshold; what lies between them
    is sorted out alone.

    Returns:
        A boolean array, or None if this does not work: for negative scores,
        for ties at the threshold, or if too few are eligible.
    """
    stride = max(1, keys.size // _N_SAMPLED)
    sample = keys[::stride]
    n_eligible = keys.size
    if eligible is not None:
        sample = sample[eligible[::stride]]
        n_eligible = np.count_nonzero(eligible)
    if not 0 < k < n_eligible or not sample.size or keys.min() < 0:
        return None

    sample = np.sort(sample)
    place = sample.size * (1 - k / n_eligible)
    margin = 3 * np.sqrt(sample.size)
    last = sample.size - 1
    low = sample[int(np.clip(place - margin, 0, last))]
    high = sample[int(np.clip(place + margin, 0, last))]
    above = keys > high
    between = (keys >= low) ^ above
    if eligible is not None:
        above &= eligible
        between &= eligible
    n_missing = k - np.count_nonzero(above)
    near = keys[between]
    if not 0 < n_missing <= near.size:
        return None

    place = near.size - n_missing
    threshold = np.partition(near, place)[place]
    marked = keys >= threshold
    if eligible is not None:
        marked &= eligible
    return marked if np.count_nonzero(marked) == k else None


def _mark_by_partition(keys, k):
    """Mark the `k` largest integer keys; of equal keys, the lower index."""
    n_members = keys.shape[-1]
    k = np.clip(k, 0, n_members)
    # Index of the k-th largest in sorted order; of the largest if k is 0.
    place = np.minimum(n_members - k, n_members - 1)
    if np.ptp(place) == 0:
        place = place.flat[0]
        threshold = np.partition(keys, place)[..., place : place + 1]
    else:
        threshold = np.take_along_axis(np.sort(keys), place, -1)
    reached = keys >= threshold
    if np.array_equal(reached.sum(-1, keepdims=reached.ndim > 1), k):
        return reached
    above = keys > threshold
    tied = reached & ~above
    room = k - above.sum(-1, keepdims=above.ndim > 1)
    return above | (tied & (np.cumsum(tied, -1) <= room))
