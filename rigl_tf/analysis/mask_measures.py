"""What recorded masks say: densities, overlap, age and degrees."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any
from typing import TypeAlias

import numpy as np

# Masks by the path of their kernel.
Masks: TypeAlias = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Record:
    """Measures of the masks of one step.

    Attributes:
        step: number of completed steps.
        densities: share of active weights of each kernel.
        with_first: Jaccard index of the connections and the first ones.
        with_previous: Jaccard index with those of the record before; 1 for the
            first record.
        with_last: Jaccard index with those of the last record.
        explored: share of all weights that were active in a record so far; at
            the end the in-time over-parameterization rate R_s of Liu et al.
            2021, as far as the records show.
        age: mean number of steps since the connections were last grown.
        dead_inputs: inputs without connections, of each kernel.
        dead_outputs: outputs without connections, of each kernel.
    """

    step: int
    densities: dict[str, float]
    with_first: float
    with_previous: float
    with_last: float
    explored: float
    age: float
    dead_inputs: dict[str, int]
    dead_outputs: dict[str, int]


def measure_masks(records: Mapping[int, Masks]) -> list[Record]:
    """Measure the masks of a run over training.

    Args:
        records: masks by step; each has the same kernels.

    Returns:
        One `Record` for each step, in rising order.

    Raises:
        ValueError: there is no record, or one has other kernels.
    """
    steps = sorted(records)
    if not steps:
        raise ValueError("`records` must not be empty. Received: no masks")
    paths = sorted(records[steps[0]])
    for step in steps:
        if sorted(records[step]) != paths:
            raise ValueError(
                "All records must have masks of the same kernels. Received: "
                f"{paths} first, {sorted(records[step])} at step {step}"
            )
    flat = {step: _joined(records[step], paths) for step in steps}
    first, last = flat[steps[0]], flat[steps[-1]]
    ever, born = np.zeros_like(first), np.full(first.size, steps[0])
    before, found = first, []
    for step in steps:
        now = flat[step]
        born[now & ~before] = step
        ever |= now
        found.append(
            Record(
                step,
                {p: float(np.mean(records[step][p])) for p in paths},
                jaccard(now, first),
                jaccard(now, before),
                jaccard(now, last),
                float(ever.mean()),
                float(np.mean(step - born[now])) if now.any() else 0.0,
                {p: _n_zero(degrees(records[step][p])[0]) for p in paths},
                {p: _n_zero(degrees(records[step][p])[1]) for p in paths},
            )
        )
        before = now
    return found


def degrees(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of connections of inputs and outputs.

    Args:
        mask: zeros and ones, [..., outputs].

    Returns:
        `(of each input, of each output)`; each position of a convolution's
        window is an input of its own.
    """
    matrix = np.asarray(mask, bool).reshape(-1, np.shape(mask)[-1])
    return matrix.sum(axis=1), matrix.sum(axis=0)


def to_json(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the measures of each record by name."""
    return [dataclasses.asdict(record) for record in records]


def _joined(masks, paths):
    return np.concatenate([np.ravel(masks[p]).astype(bool) for p in paths])


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """Return the Jaccard index `|A n B| / |A u B|` of two boolean arrays.

    It is 1 for equal sets, empty ones too.
    """
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def _n_zero(counts):
    return int(np.count_nonzero(counts == 0))
