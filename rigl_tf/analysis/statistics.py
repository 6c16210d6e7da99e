"""Compare results of few seeds: intervals, tests, groups.

Everything that compares means of a few seeds uses Student's t. Percentile
bootstraps and rank tests are not for that: with three seeds the bootstrap
interval of a difference covers about 80 % instead of 95 %, and no permutation
of three and three values has a two-sided p below 0.1. `task_statistics` has the
bootstrap, for many tasks together.

TensorFlow is not imported.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import math

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate and its confidence interval.

    Attributes:
        estimate: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    estimate: float
    low: float
    high: float

    def covers(self, value: float) -> bool:
        """Return whether a value lies in the interval."""
        return self.low <= value <= self.high


@dataclasses.dataclass(frozen=True)
class Difference(Interval):
    """A difference of two means.

    Attributes:
        p: two-sided p-value of no difference.
        df: degrees of freedom.
        hedges_g: difference in standard deviations, without the bias of small
            samples; None for pairs.
    """

    p: float
    df: float
    hedges_g: float | None = None


@dataclasses.dataclass(frozen=True)
class Sample:
    """Mean, spread and size of a sample.

    Attributes:
        mean: mean of the values.
        std: sample standard deviation, with n - 1; 0 for one value.
        n: number of values, at least 1.
    """

    mean: float
    std: float
    n: int

    @classmethod
    def of(cls, values: collections.abc.Iterable[float]) -> Sample:
        """Summarize values.

        Raises:
            ValueError: there are none.
        """
        found = np.asarray(list(values), np.float64)
        if not found.size:
            raise ValueError("A sample needs values. Received: none")
        std = float(found.std(ddof=1)) if found.size > 1 else 0.0
        return cls(float(found.mean()), std, found.size)

    @property
    def squared_error(self) -> float:
        """Squared standard error of the mean, s^2 / n."""
        return self.std**2 / self.n


def _require_spread(*samples: Sample) -> None:
    for sample in samples:
        if sample.n < 2:
            raise ValueError(
                "An interval needs at least two values of each sample. "
                f"Received: n={sample.n}"
            )


# Means of few seeds.


def mean_interval(sample: Sample, confidence: float = 0.95) -> Interval:
    """Return Student's interval of a mean, `m ± t(n - 1) s / sqrt(n)`.

    Reference: Student, The probable error of a mean, Biometrika 1908.

    Args:
        sample: the values, at least two.
        confidence: probability with which such intervals cover the mean.

    Raises:
        ValueError: there is only one value.
    """
    _require_spread(sample)
    half = _half_width(
        math.sqrt(sample.squared_error), sample.n - 1, confidence
    )
    return Interval(sample.mean, sample.mean - half, sample.mean + half)


def welch(a: Sample, b: Sample, confidence: float = 0.95) -> Difference:
    """Compare two means whose variances may differ, `m_a - m_b`.

    With `e = s^2 / n` of each sample, the standard error is `sqrt(e_a + e_b)`,
    and the degrees of freedom are `(e_a + e_b)^2 / (e_a^2 / (n_a - 1) + e_b^2 /
    (n_b - 1))`. Without any spread, p is 1 for equal means and 0 for others.

    Reference: Welch, The generalization of Student's problem when several
    different population variances are involved, Biometrika 1947.

    Args:
        a: a sample of at least two values.
        b: another one.
        confidence: probability with which such intervals cover the difference.

    Raises:
        ValueError: a sample has only one value.
    """
    _require_spread(a, b)
    error = a.squared_error + b.squared_error
    df = float(a.n + b.n - 2)
    if error:
        df = error**2 / (
            a.squared_error**2 / (a.n - 1) + b.squared_error**2 / (b.n - 1)
        )
    return _difference(
        a.mean - b.mean, math.sqrt(error), df, confidence, hedges_g(a, b)
    )


def paired(
    a: collections.abc.Sequence[float],
    b: collections.abc.Sequence[float],
    confidence: float = 0.95,
) -> Difference:
    """Compare two means over pairs, such as runs of equal seeds.

    Student's interval of the mean of `a_i - b_i`. It is narrower than Welch's
    only if the values of a pair vary together.

    Args:
        a: values, at least two.
        b: their partners, in the same order.
        confidence: probability with which such intervals cover the difference.

    Raises:
        ValueError: the lengths differ, or there is only one pair.
    """
    if len(a) != len(b):
        raise ValueError(
            f"Pairs need as many values. Received: {len(a)} and {len(b)}"
        )
    sample = Sample.of(x - y for x, y in zip(a, b))
    _require_spread(sample)
    error = math.sqrt(sample.squared_error)
    return _difference(sample.mean, error, sample.n - 1, confidence)


def hedges_g(a: Sample, b: Sample) -> float:
    """Return the difference of two means in units of the pooled deviation.

    `g = J (m_a - m_b) / s`, where `s^2` is the mean of both variances, weighted
    with n - 1, and `J = Gamma(f / 2) / (sqrt(f / 2) Gamma((f - 1) / 2))` with
    `f = n_a + n_b - 2` removes the bias.

    Reference: Hedges, Distribution theory for Glass's estimator of effect size
    and related estimators, Journal of Educational Statistics 1981.

    Args:
        a: a sample of at least two values.
        b: another one.

    Returns:
        The effect size; 0 or infinity if there is no spread.
    """
    _require_spread(a, b)
    freedom = a.n + b.n - 2
    pooled = ((a.n - 1) * a.std**2 + (b.n - 1) * b.std**2) / freedom
    difference = a.mean - b.mean
    if not pooled:
        return math.copysign(math.inf, difference) if difference else 0.0
    half = freedom / 2
    unbiased = math.exp(math.lgamma(half) - math.lgamma(half - 0.5))
    return unbiased / math.sqrt(half) * difference / math.sqrt(pooled)


def holm(p_values: collections.abc.Sequence[float]) -> list[float]:
    """Adjust the p-values of a family of tests.

    The i-th smallest of k p-values is multiplied by `k - i + 1`; none becomes
    smaller than one before it, nor larger than 1. Rejecting what stays below
    0.05 makes any false rejection in the family as rare as 5 %.

    Reference: Holm, A simple sequentially rejective multiple test procedure,
    Scandinavian Journal of Statistics 1979.

    Args:
        p_values: p-values in any order.

    Returns:
        The adjusted p-values, in the same order.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, index in enumerate(order):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(largest, 1.0)
    return adjusted


def groups(
    samples: collections.abc.Sequence[Sample], level: float = 0.05
) -> list[int]:
    """Divide samples, sorted by their means, into groups that do not differ.

    The first sample that is not in a group begins one. It is compared with all
    samples after it by Welch's test, and these p-values are adjusted by Holm.
    Those after it join, in order, up to the first that differs from it, i.e.
    whose p is below the level; that one begins the next group.

    So every member of a group may equal its first. The last member and the
    first of the next group need not differ from each other.

    Args:
        samples: samples of at least two values, the best first.
        level: significance level.

    Returns:
        The number of the group of each sample, from 0.
    """
    numbers: list[int] = []
    first = 0
    while first < len(samples):
        rest = samples[first + 1 :]
        p = holm([welch(samples[first], other).p for other in rest])
        n_alike = next((i for i, x in enumerate(p) if x < level), len(rest))
        numbers += [numbers[-1] + 1 if numbers else 0] * (1 + n_alike)
        first += 1 + n_alike
    return numbers


# Test examples.


def accuracy_error(accuracy: float, n_examples: int) -> float:
    """Return the standard error of an accuracy, `sqrt(p (1 - p) / n)`.

    It is the noise of the test set: the deviation between accuracies on other
    test sets of n independent examples.

    Args:
        accuracy: share p of right predictions, in [0, 1].
        n_examples: number of test examples, at least 1.
    """
    return math.sqrt(accuracy * (1 - accuracy) / n_examples)


def mcnemar(n_only_first: int, n_only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test.

    Two models predict the same examples. Those on which exactly one is right
    are a sample of a fair coin, if the models are equally good; p is that of
    the binomial test.

    Reference: McNemar, Note on the sampling error of the difference between
    correlated proportions or percentages, Psychometrika 1947.

    Args:
        n_only_first: number of examples on which only the first is right.
        n_only_second: number of examples on which only the second is right.
    """
    n = n_only_first + n_only_second
    if not n:
        return 1.0
    return float(stats.binomtest(n_only_first, n).pvalue)


def _half_width(error, df, confidence):
    return float(stats.t.ppf((1 + confidence) / 2, df)) * error


def _difference(estimate, error, df, confidence, g=None):
    half = _half_width(error, df, confidence)
    if error:
        p = 2 * float(stats.t.sf(abs(estimate) / error, df))
    else:
        p = 0.0 if estimate else 1.0
    return Difference(estimate, estimate - half, estimate + half, p, df, g)
