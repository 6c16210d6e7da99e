"""One battery for all methods and patterns."""

import digests
import keras
import method_rows
import numpy as np
import params
import pytest
import tensorflow as tf
import tiny

from rigl_tf import updaters
from rigl_tf.accounting import training_costs
from rigl_tf.experiments import config
from rigl_tf.masks import counts as mask_counts
from rigl_tf.training import mask_changes
from rigl_tf.training import optimizer_slots

ALL = pytest.mark.parametrize(
    "method", method_rows.METHODS, ids=lambda method: method.name
)

SOME = pytest.mark.parametrize(
    "method",
    params.cover(
        method_rows.METHODS, quick=lambda m: m.name in method_rows.SAMPLE
    ),
    ids=lambda method: method.name,
)


EACH_SHAPE = pytest.mark.parametrize(
    "method, pattern",
    params.cover(method_rows.EACH_SHAPE, quick=method_rows.SOME_SHAPE),
    ids=lambda value: getattr(value, "name", value),
)
ON_REPLICAS = pytest.mark.parametrize(
    "method, pattern",
    params.cover(
        method_rows.EACH_NEED,
        quick=lambda value: value[0].name in ("set", "rigl_sm", "snfs"),
    ),
    ids=lambda value: getattr(value, "name", value),
)
N_STEPS = 22


def assert_counts(method, kernels):
    """Compare the counts of ones with what the method promises."""
    found = [int(np.count_nonzero(k.mask.numpy())) for k in kernels]
    fresh = [mask_counts.n_ones(k.size, k.sparsity) for k in kernels]
    if method.counts == "kernel":
        fresh = [
            k.pattern.n_active(tuple(k.kernel.shape), k.sparsity)
            for k in kernels
        ]
        for kernel, n_active, expected in zip(kernels, found, fresh):
            shape = tuple(kernel.kernel.shape)
            per_group = kernel.pattern.n_units(shape, kernel.sparsity)
            counts = kernel.pattern.counts(kernel.mask.value).numpy()
            assert (counts == per_group).all()
            ragged = "block_4x3" in str(kernel.pattern)
            assert ragged or n_active == expected
    elif method.counts == "pruned":
        for kernel, n_active in zip(kernels, found):
            members = kernel.pattern.n_members(tuple(kernel.kernel.shape))
            left = mask_counts.n_ones(members, kernel.sparsity)
            if str(kernel.pattern) == "unstructured":
                left = max(1, round(members * (1 - kernel.sparsity)))
            counts = kernel.pattern.counts(kernel.mask.value).numpy()
            np.testing.assert_array_equal(counts, left)
    elif method.counts == "fan_in":
        for kernel, expected in zip(kernels, fresh):
            mask = kernel.mask.numpy().reshape(-1, kernel.kernel.shape[-1])
            inputs = np.count_nonzero(mask, axis=0)
            (fan_in,) = set(inputs[inputs > 0])
            n_alive = np.count_nonzero(inputs)
            assert fan_in == min(expected // n_alive, len(mask))
    else:
        assert sum(found) == sum(fresh)


def assert_clean(trainer):
    """Require zeros, and initial slots, wherever the mask is zero."""
    for item, slots in zip(trainer.kernels, trainer._slots):
        assert not tiny.off_mask(item, item.kernel).any()
        for slot in slots:
            assert (tiny.off_mask(item, slot.variable) == slot.initial).all()


def train_noting_updates(trainer, n_steps):
    """Train, and list the steps at which masks were updated."""
    update, seen = trainer._mask_update, []

    def note_and_update(iterator):
        seen.append(trainer.step)
        return update(iterator)

    trainer._mask_update = note_and_update
    trainer.train(tiny.batches(), n_steps)
    return tuple(seen)


@SOME
def test_a_run_keeps_the_promises_of_the_method(method):
    trainer = tiny.trainer(method.build())
    data = tf.data.Dataset.from_tensor_slices(tiny.arrays()).batch(16)
    before = trainer.evaluate(data)["loss"]
    assert train_noting_updates(trainer, N_STEPS) == method.updates
    assert trainer.step == N_STEPS
    assert_counts(method, trainer.kernels)
    assert_clean(trainer)
    trainer.train(tiny.batches(), 60)
    assert_clean(trainer)
    assert trainer.evaluate(data)["loss"] < 0.8 * before


def assert_patterns(kernels):
    """Require masks that follow the pattern."""
    for item in kernels:
        shape = tuple(item.kernel.shape)
        item.pattern.check_mask(item.path, item.mask.numpy(), shape)


def assert_moved(method, pattern, first, kernels):
    """Require other masks than the first, but of static methods."""
    moved = any(
        not np.array_equal(a, item.mask.numpy())
        for a, item in zip(first, kernels)
    )
    static = (updaters.Static, updaters.StaticReinit)
    if isinstance(method.build(), static):
        assert not moved
    elif pattern not in ("channel", "channel_in", "block_4x3_max"):
        assert moved  # of a few units, the same may return


@EACH_SHAPE
def test_every_pattern_is_kept(method, pattern):
    """Decide eagerly, without a model: to trace one takes most of the time."""
    updater, kernels, gradients = digests.scene(method, pattern)
    first = [item.mask.numpy() for item in kernels]
    slots = [optimizer_slots.Slot("m", filled(k), 0.25) for k in kernels]
    for step in method.updates[-4:]:
        step = tf.constant(step, tf.int64)
        changes = updater.changes(kernels, gradients, step)
        for item, slot, change in zip(kernels, slots, changes):
            mask_changes.apply(item, [slot], change, tf.constant(True))
        assert_patterns(kernels)  # the next update would hide a wrong mask
    assert_counts(method, kernels)
    assert_moved(method, pattern, first, kernels)
    if method.updates:
        for item, slot in zip(kernels, slots):
            assert not tiny.off_mask(item, item.kernel).any()
            assert (tiny.off_mask(item, slot.variable) == 0.25).all()


def filled(item):
    """Return a slot of a kernel, with a value at each active weight."""
    return keras.Variable(tf.where(item.mask.value, 2.0, 0.25))


@ON_REPLICAS
def test_training_keeps_the_pattern_on_two_replicas_too(
    method, pattern, mirrored
):
    options = {"dtype": "float64", "pattern": pattern}
    alone = tiny.trainer(method.build(), **options)
    before = [item.mask.numpy() for item in alone.kernels]
    alone.train(tiny.batches(dtype="float64"), method_rows.N_STEPS)
    assert_counts(method, alone.kernels)
    assert_clean(alone)
    assert_patterns(alone.kernels)
    assert_moved(method, pattern, before, alone.kernels)
    keras.utils.set_random_seed(0)
    pair = tiny.trainer(method.build(), strategy=mirrored, **options)
    pair.train(tiny.batches(dtype="float64"), method_rows.N_STEPS)
    for a, b in zip(alone.kernels, pair.kernels):
        for variable in (b.mask, b.kernel):
            first, second = (np.asarray(v) for v in variable.value.values)
            np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())
        np.testing.assert_allclose(
            a.kernel.numpy(), b.kernel.numpy(), rtol=0, atol=1e-10
        )


@pytest.mark.slow
def test_replicas_in_float32_agree_bit_for_bit(mirrored):
    trainer = tiny.trainer(
        method_rows.BY_NAME["snfs_momentum"].build(), strategy=mirrored
    )
    trainer.train(tiny.batches(), 50)
    for item in trainer.kernels:
        for variable in (item.mask, item.kernel):
            first, second = (np.asarray(v) for v in variable.value.values)
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "method, pattern",
    params.cover(
        [(m, shape) for m, shape in method_rows.EACH_NEED if m.updates],
        quick=lambda value: value[0].name in method_rows.SAMPLE[::2],
    ),
    ids=lambda value: getattr(value, "name", value),
)
def test_eager_graph_and_xla_decide_alike(method, pattern):
    decided = {}
    for mode in ("eager", "graph", "xla"):
        updater, kernels, gradients = digests.scene(method, pattern)

        def decide(step):
            changes = updater.changes(kernels, gradients, step)
            return [(change.mask, change.grown) for change in changes]

        if mode != "eager":
            decide = tf.function(
                decide, autograph=False, jit_compile=mode == "xla"
            )
        decided[mode] = decide(tf.constant(5, tf.int64))
    for mode in ("graph", "xla"):
        for (a, b), (c, d) in zip(decided["eager"], decided[mode]):
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)


@pytest.mark.parametrize(
    "name",  # one of each kind: by weights, by gradients, with dense state
    ["set", "srigl", "snfs_momentum", "grasp", "granet", "top_kast"],
)
def test_mixed_bfloat16_keeps_counts_and_zeros(name):
    method = method_rows.BY_NAME[name]
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        trainer = tiny.trainer(method.build())
    finally:
        keras.config.set_dtype_policy("float32")
    trainer.train(tiny.batches(), N_STEPS)
    assert_counts(method, trainer.kernels)
    assert_clean(trainer)


@ALL
def test_gin_file_builds_the_method(method):
    words = ["tasks/digits_mlp", f"methods/{method.name}", "SPARSITY=0.9"]
    bound = config.parse(config.read(words))
    updater = bound().updater
    assert type(updater) is type(method.build())
    assert f"method = '{method.name}'" in config.resolved()


@ALL
def test_dense_networks_cost_what_dense_training_costs(method):
    cost = training_costs.step_flops(method.build(), 1.0, 1.0, N_STEPS)
    assert cost == pytest.approx(3)
    sparse = training_costs.run_flops(method.build(), 0.1, 1.0, N_STEPS)
    whole = training_costs.run_flops(method.build(), 1.0, 1.0, N_STEPS)
    assert 3 * 0.1 * N_STEPS - 1e-9 <= sparse < whole


@ALL
def test_card_has_all_headings(method):
    card = type(method.build()).__doc__
    for heading in (
        "Drop:",
        "Grow:",
        "First mask:",
        "Cost:",
        "Hyper-parameters:",
        "Deviations:",
        "Reference:",
    ):
        assert heading in card
