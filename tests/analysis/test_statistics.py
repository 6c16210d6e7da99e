"""Statistics against SciPy's other functions, hand computations, coverage."""

import itertools
import math

import numpy as np
import pytest
from scipy import special
from scipy import stats

from rigl_tf.analysis import statistics
from rigl_tf.analysis import task_statistics

Sample = statistics.Sample
A = [96.41, 96.58, 96.62, 96.49, 96.66]
B = [96.02, 96.33, 96.10, 95.99]


def bounds(interval):
    return interval.low, interval.high


def test_a_sample_is_mean_deviation_and_number():
    assert Sample.of([1, 2, 3, 4]) == Sample(2.5, math.sqrt(5 / 3), 4)
    assert Sample.of([7.0]) == Sample(7.0, 0.0, 1)
    with pytest.raises(ValueError, match="needs values. Received: none"):
        Sample.of([])


def test_the_interval_of_a_mean_is_that_of_tables():
    # t(0.975, 2) = 4.303: the table at the end of every textbook.
    found = statistics.mean_interval(Sample(10.0, 3.0, 9))
    assert bounds(found) == pytest.approx((10 - 2.306, 10 + 2.306), abs=1e-4)
    found = statistics.mean_interval(Sample.of([1, 2, 3]))
    half = 4.303 / math.sqrt(3)
    assert bounds(found) == pytest.approx((2 - half, 2 + half), abs=1e-3)
    scipys = stats.ttest_1samp(A, 0).confidence_interval(0.9)
    found = statistics.mean_interval(Sample.of(A), 0.9)
    assert bounds(found) == pytest.approx(tuple(scipys))


def test_welch_is_scipys_test():
    found = statistics.welch(Sample.of(A), Sample.of(B))
    scipys = stats.ttest_ind(A, B, equal_var=False)
    assert found.estimate == pytest.approx(np.mean(A) - np.mean(B))
    assert found.p == pytest.approx(scipys.pvalue)
    assert found.df == pytest.approx(scipys.df)
    interval = scipys.confidence_interval()
    assert bounds(found) == pytest.approx(tuple(interval))


@pytest.mark.parametrize(
    "a, b, interval, p",
    [
        # RigL and SET on MNIST, from their printed means and deviations.
        ((96.55, 0.11, 5), (96.12, 0.17, 5), (0.21, 0.65), 0.002),
        ((96.55, 0.11, 5), (94.10, 0.25, 5), (2.14, 2.76), 0.0001),
        ((96.62, 0.18, 3), (96.54, 0.04, 3), (-0.34, 0.50), 0.52),
    ],
)
def test_welch_takes_what_was_printed(a, b, interval, p):
    found = statistics.welch(Sample(*a), Sample(*b))
    assert bounds(found) == pytest.approx(interval, abs=0.006)
    assert found.p == pytest.approx(p, abs=0.005)


def test_pairs_are_scipys_test():
    b = B + [96.2]
    found = statistics.paired(A, b)
    scipys = stats.ttest_rel(A, b)
    assert found.p == pytest.approx(scipys.pvalue)
    assert found.df == 4
    assert bounds(found) == pytest.approx(tuple(scipys.confidence_interval()))
    with pytest.raises(ValueError, match="Received: 5 and 4"):
        statistics.paired(A, B)


def test_no_spread_is_certainty():
    one, other = Sample(1.0, 0.0, 3), Sample(2.0, 0.0, 3)
    same = statistics.welch(one, one)
    assert (same.p, same.hedges_g, *bounds(same)) == (1, 0, 0, 0)
    found = statistics.welch(one, other)
    assert (found.p, found.hedges_g) == (0, -math.inf)
    assert bounds(found) == (-1, -1)
    assert statistics.paired([1, 2], [1, 2]).p == 1


def test_one_value_has_no_interval():
    one, two = Sample.of([1.0]), Sample.of([1.0, 2.0])
    for use in (
        lambda: statistics.mean_interval(one),
        lambda: statistics.welch(two, one),
        lambda: statistics.welch(one, two),
        lambda: statistics.paired([1], [2]),
        lambda: statistics.hedges_g(one, two),
    ):
        with pytest.raises(ValueError, match="at least two.*Received: n=1"):
            use()


def test_hedges_g_is_unbiased_by_hand():
    # d = 2 / 1; f = 4: J = Gamma(2) / (sqrt(2) Gamma(1.5)) = 0.7979.
    a, b = Sample(3.0, 1.0, 3), Sample(1.0, 1.0, 3)
    by_hand = 2 / (math.sqrt(2) * special.gamma(1.5))
    assert statistics.hedges_g(a, b) == pytest.approx(by_hand)
    # Of many values, the ordinary approximation.
    a, b = Sample(3.0, 2.0, 30), Sample(1.0, 1.0, 10)
    pooled = math.sqrt((29 * 4 + 9 * 1) / 38)
    near = (1 - 3 / (4 * 38 - 1)) * 2 / pooled
    assert statistics.hedges_g(a, b) == pytest.approx(near, rel=1e-3)


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04, times 4 3 2 1: .04 .06 .06 .06.
    found = statistics.holm([0.04, 0.01, 0.03, 0.02])
    assert found == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_holm_rejects_what_the_sequential_procedure_rejects():
    generator = np.random.default_rng(3)
    for _ in range(50):
        p = list(generator.uniform(0, 0.1, 6))
        rejected = set()
        for count, index in enumerate(np.argsort(p)):
            if p[index] > 0.05 / (6 - count):
                break
            rejected.add(int(index))
        adjusted = statistics.holm(p)
        assert {i for i in range(6) if adjusted[i] <= 0.05} == rejected


def test_groups_end_where_a_sample_differs_from_the_first():
    means = [98.0, 97.95, 97.2, 97.15, 90.0]
    samples = [Sample(mean, 0.1, 5) for mean in means]
    assert statistics.groups(samples) == [0, 0, 1, 1, 2]
    assert statistics.groups(samples[:1]) == [0]
    assert statistics.groups([]) == []
    # Each step is small, but not the whole way.
    chain = [Sample(98 - 0.1 * n, 0.1, 5) for n in range(6)]
    found = statistics.groups(chain)
    assert found[0] == found[1] == 0 and found[-1] > 0
    # With two noisy seeds nothing differs.
    noisy = [Sample(mean, 3.0, 2) for mean in means]
    assert statistics.groups(noisy) == [0] * 5


def test_groups_are_adjusted_for_their_number():
    best, other = Sample(98.0, 0.1, 3), Sample(97.75, 0.1, 3)
    assert 0.03 < statistics.welch(best, other).p < 0.05
    assert statistics.groups([best, other]) == [0, 1]
    assert statistics.groups([best, other, other]) == [0, 0, 0]


def test_mcnemar_is_the_binomial_sum():
    def by_hand(first, second):
        n, low = first + second, min(first, second)
        tail = sum(math.comb(n, k) for k in range(low + 1)) / 2**n
        return min(1.0, 2 * tail)

    for first, second in ((10, 25), (25, 10), (0, 6), (7, 7), (1, 0)):
        found = statistics.mcnemar(first, second)
        assert found == pytest.approx(by_hand(first, second)), first
    assert statistics.mcnemar(0, 0) == 1


def test_the_error_of_an_accuracy_is_the_known_one():
    for accuracy, expected in ((0.965, 0.0018), (0.93, 0.0025)):
        error = statistics.accuracy_error(accuracy, 10_000)
        assert error == pytest.approx(expected, abs=6e-5)
    assert statistics.accuracy_error(1.0, 100) == 0


def test_the_interquartile_mean_leaves_out_the_outer_quarters():
    scores = [[0, 100, 3, 4], [5, 6, -100, 200]]
    assert task_statistics.interquartile_mean(scores) == (3 + 4 + 5 + 6) / 4


def test_resamples_are_stratified():
    """All resamples of two tasks with two seeds, by enumeration."""
    scores = [[0.0, 1.0], [10.0, 12.0]]
    means = sorted(
        float(np.sort([a, b, c, d])[1:3].mean())
        for a, b in itertools.product(scores[0], repeat=2)
        for c, d in itertools.product(scores[1], repeat=2)
    )
    found = task_statistics.interquartile_interval(scores, 0.5)
    assert found.estimate == 5.5
    assert bounds(found) == pytest.approx(
        (np.quantile(means, 0.25), np.quantile(means, 0.75)), abs=0.26
    )
    again = task_statistics.interquartile_interval(scores, 0.5)
    assert again == found
    wide = task_statistics.interquartile_interval(scores, 0.9999)
    assert bounds(wide) == (means[0], means[-1])


def test_improvement_is_mann_whitneys_u():
    a = [[1.0, 3.0, 5.0], [2.0, 2.0]]
    b = [[2.0, 4.0], [2.0, 1.0, 0.0]]
    shares = [
        stats.mannwhitneyu(x, y).statistic / (len(x) * len(y))
        for x, y in zip(a, b)
    ]
    found = task_statistics.improvement(a, b)
    assert found.estimate == pytest.approx(np.mean(shares))
    assert found.low <= found.estimate <= found.high
    back = task_statistics.improvement(b, a)
    assert back.estimate == pytest.approx(1 - found.estimate)
    sure = task_statistics.improvement([[2, 3]], [[0, 1]])
    assert (sure.estimate, *bounds(sure)) == (1, 1, 1)
    with pytest.raises(ValueError, match="same tasks. Received: 2 and 1"):
        task_statistics.improvement(a, b[:1])


def test_welch_covers_with_three_seeds():
    """95 % of intervals cover, where variances differ by a factor of four."""
    generator = np.random.default_rng(0)
    n_covered = 0
    for _ in range(600):
        a, b = generator.normal(1, 1, 3), generator.normal(0, 2, 3)
        found = statistics.welch(Sample.of(a), Sample.of(b))
        n_covered += found.covers(1.0)
    assert 0.93 < n_covered / 600 < 0.98


def test_the_interval_of_a_mean_covers_with_three_seeds():
    generator = np.random.default_rng(1)
    n_covered = sum(
        statistics.mean_interval(
            Sample.of(generator.normal(5, 1, 3)), 0.8
        ).covers(5)
        for _ in range(600)
    )
    assert 0.76 < n_covered / 600 < 0.84
