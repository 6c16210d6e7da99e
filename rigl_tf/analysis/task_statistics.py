"""Compare methods over many tasks: interquartile means, with a bootstrap.

Reference: Agarwal et al., Deep reinforcement learning at the edge of the
statistical precipice, NeurIPS 2021.
"""

import collections.abc

import numpy as np
import numpy.typing as npt
from scipy import stats

from rigl_tf.analysis import statistics

_Scores = collections.abc.Sequence[collections.abc.Sequence[float]]


def interquartile_mean(scores: _Scores) -> float:
    """Return the mean of the middle half of all scores.

    Args:
        scores: for each task, the scores of its seeds.
    """
    return float(stats.trim_mean(np.concatenate(_arrays(scores)), 0.25))


def interquartile_interval(
    scores: _Scores,
    confidence: float = 0.95,
    n_resamples: int = 5000,
    seed: int = 0,
) -> statistics.Interval:
    """Return the interquartile mean and its stratified bootstrap interval.

    Each resample draws the seeds of every task anew, with replacement; the
    interval reaches from percentile to percentile. See `interquartile_mean`.

    Args:
        scores: for each task, the scores of its seeds.
        confidence: nominal confidence; several tasks are needed to reach it.
        n_resamples: number of resamples.
        seed: seed of the resamples.
    """
    generator = np.random.default_rng(seed)
    drawn = [_resample(s, n_resamples, generator) for s in _arrays(scores)]
    means = stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    return _percentiles(interquartile_mean(scores), means, confidence)


def improvement(
    a: _Scores,
    b: _Scores,
    confidence: float = 0.95,
    n_resamples: int = 5000,
    seed: int = 0,
) -> statistics.Interval:
    """Return the probability that a run of one method beats one of another.

    The mean over tasks of `U / (n m)`, the share of pairs in which the first
    is larger; equal scores count half. The interval is that of the stratified
    bootstrap, see `interquartile_interval`.

    Args:
        a: for each task, the scores of the seeds of the first method.
        b: the same for the second method, with the same tasks.
        confidence: nominal confidence.
        n_resamples: number of resamples.
        seed: seed of the resamples.

    Raises:
        ValueError: the numbers of tasks differ.
    """
    if len(a) != len(b):
        raise ValueError(
            "Both methods need the same tasks. Received: "
            f"{len(a)} and {len(b)} tasks"
        )
    generator = np.random.default_rng(seed)
    estimate = np.zeros(1)
    resampled = np.zeros(n_resamples)
    for x, y in zip(_arrays(a), _arrays(b)):
        estimate += _share(x[None], y[None]) / len(a)
        resampled += _share(
            _resample(x, n_resamples, generator),
            _resample(y, n_resamples, generator),
        ) / len(a)
    return _percentiles(float(estimate[0]), resampled, confidence)


def _arrays(scores: _Scores) -> list[npt.NDArray[np.float64]]:
    return [np.asarray(of_task, np.float64) for of_task in scores]


def _resample(values, n_resamples, generator):
    """Draw [n_resamples, n] of n values."""
    return generator.choice(values, (n_resamples, len(values)))


def _share(a, b):
    """Return U / (n m) of each row of [rows, n] and [rows, m]."""
    larger = a[:, :, None] > b[:, None]
    equal = a[:, :, None] == b[:, None]
    return (larger + 0.5 * equal).mean(axis=(1, 2))


def _percentiles(estimate, resampled, confidence):
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return statistics.Interval(estimate, float(low), float(high))
