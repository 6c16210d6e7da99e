"""Redistribution: shares, rooms, totals."""

import fractions

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tiny

from rigl_tf import updaters
from rigl_tf.updaters import redistribution


def numpy_apportion(total, values, rooms):
    """Split by largest remainders, round after round, in exact fractions."""
    values = [fractions.Fraction(float(v)) for v in values]
    if not any(values):
        values = [fractions.Fraction(1)] * len(values)
    shares = [0] * len(values)
    while sum(shares) < total:
        left = total - sum(shares)
        weights = [
            v if s < r else fractions.Fraction(0)
            for v, s, r in zip(values, shares, rooms)
        ]
        if not any(weights):  # only what is worth nothing has room
            weights = [fractions.Fraction(s < r) for s, r in zip(shares, rooms)]
        quotas = [left * w / sum(weights) for w in weights]
        floors = [int(q) for q in quotas]
        order = sorted(
            range(len(values)),
            key=lambda i: (weights[i] == 0, -(quotas[i] - floors[i]), i),
        )
        for i in order[: left - sum(floors)]:
            floors[i] += 1
        shares = [min(s + f, r) for s, f, r in zip(shares, floors, rooms)]
    return shares


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(data=st.data())
def test_shares_are_those_of_exact_fractions(data):
    n = data.draw(st.integers(1, 6))
    # Powers of two: no rounding in either.
    values = [
        data.draw(st.sampled_from([0.0, 0.25, 0.5, 1.0, 4.0])) for _ in range(n)
    ]
    rooms = [data.draw(st.integers(0, 40)) for _ in range(n)]
    total = data.draw(st.integers(0, sum(rooms)))
    found = redistribution.apportion(
        tf.constant(total),
        tf.constant(values, tf.float64),
        tf.constant(rooms, tf.int32),
    ).numpy()
    assert found.sum() == total
    assert (found <= rooms).all()
    expected = numpy_apportion(total, values, rooms)
    assert np.abs(found - expected).max() <= 1  # thirds may tie differently


@pytest.mark.parametrize(
    "method, criterion",
    [
        (updaters.RigL, "momentum"),
        (updaters.RigL, "gradient"),
        (updaters.SNFS, "momentum"),
        (updaters.SNFS, "gradient"),
        (updaters.SET, "nonzero"),
    ],
)
def test_connections_go_where_the_values_are_and_the_total_stays(
    method, criterion
):
    updater = method(
        update_interval=5,
        update_end_step=20,
        drop_fraction=0.5,
        redistribution=criterion,
    )
    trainer = tiny.trainer(updater)
    before = [int(np.sum(k.mask.numpy())) for k in trainer.kernels]
    trainer.train(tiny.batches(), 4)
    gradients = [tf.zeros(v.shape) for v in trainer.model.trainable_variables]
    # All gradients of importance are the second kernel's.
    gradients[2] = tf.ones(trainer.kernels[1].kernel.shape)
    if updater.needs.step_gradients:
        kernels = [gradients[0] * 0, gradients[2] * 1e6]
        updater.observe(trainer.kernels, kernels, tf.constant(4, tf.int64))
    on_batch = updater.needs.batch
    trainer.update_masks(gradients if on_batch else None)
    after = [int(np.sum(k.mask.numpy())) for k in trainer.kernels]
    assert sum(after) == sum(before)
    if criterion != "nonzero":
        assert after[1] > before[1]
        assert after[1] <= 32


def test_a_criterion_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="redistribution"):
        updaters.SET(update_end_step=5, redistribution="variance")


def test_redistribution_needs_single_weights():
    updater = updaters.SNFS(update_end_step=5, redistribution="momentum")
    with pytest.raises(ValueError, match='"unstructured"'):
        tiny.trainer(updater, pattern="n:2")


def test_without_averages_every_kernel_gets_back_what_it_lost():
    updater = updaters.RigL(
        update_interval=5,
        update_end_step=20,
        drop_fraction=0.5,
        redistribution="momentum",
    )
    trainer = tiny.trainer(updater)
    before = [int(np.sum(k.mask.numpy())) for k in trainer.kernels]
    gradients = [tf.ones(v.shape) for v in trainer.model.trainable_variables]
    trainer.update_masks(gradients)  # before any step
    assert before == [int(np.sum(k.mask.numpy())) for k in trainer.kernels]


def test_granet_has_counts_of_its_own():
    with pytest.raises(ValueError, match="redistribution='gradient'"):
        updaters.GraNet(update_end_step=100, redistribution="gradient")
