"""The pair of steps: invariants under any optimizer, own loops, bad steps."""

import keras
import numpy as np
import optimizers
import oracle
import params
import pytest
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.training import checkpoints
from rigl_tf.training import steps
from rigl_tf.updaters import schedules

ELEMENTWISE = {name: row[0] for name, row in optimizers.ELEMENTWISE.items()}
# Options beyond those of test_optimizers.py, which trains by every optimizer.
OPTIONS = {
    **{n: ELEMENTWISE[n] for n in ("SGD", "amsgrad", "RMSprop")},
    **{n: ELEMENTWISE[n] for n in ("EMA", "loss scaling")},
    "Nesterov": tiny.sgd,
    "clip by norm": lambda: keras.optimizers.Adam(0.1, clipnorm=0.01),
}
# By what changes weights beside the gradient.
PLAIN = {
    **{n: ELEMENTWISE[n] for n in ("SGD", "Adam", "Adagrad", "Lion")},
    "accumulation": ELEMENTWISE["accumulation"],
    "clip by norm": OPTIONS["clip by norm"],
    "weight decay": lambda: keras.optimizers.SGD(0.1, weight_decay=0.1),
    "global clipping": lambda: keras.optimizers.SGD(
        0.1, momentum=0.9, global_clipnorm=0.01
    ),
}


def rigl(**kwargs):
    options = {
        "update_interval": 4,
        "update_end_step": None,
        "drop_fraction": schedules.Constant(0.5),
    }
    return updaters.RigL(**{**options, **kwargs})


@pytest.mark.parametrize(
    "name",
    params.cover(list(OPTIONS), quick=("amsgrad", "EMA", "loss scaling")),
)
def test_inactive_weights_are_zero_and_their_slots_initial(name):
    trainer = tiny.trainer(rigl(), OPTIONS[name], l2=1e-3)
    trainer.train(tiny.batches(), 18)  # updates at 0, 4, ..., 16; two steps on
    trainer.optimizer.finalize_variable_values(
        trainer.model.trainable_variables
    )
    for item, slots in zip(trainer.kernels, trainer._slots):
        assert not tiny.off_mask(item, item.kernel).any()
        assert len(slots) > 0
        for slot in slots:
            np.testing.assert_allclose(
                tiny.off_mask(item, slot.variable), slot.initial, rtol=1e-6
            )


@pytest.mark.parametrize(
    "name",
    params.cover(
        list(PLAIN), quick=("Adam", "weight decay", "global clipping")
    ),
)
def test_plain_fit_keeps_zeros_without_our_trainer(name):
    model = tiny.masked_mlp(updaters.Static())
    model.compile(PLAIN[name](), tiny.LOSS)
    model.fit(*tiny.arrays(), epochs=3, verbose=0)
    for item in rigl_tf.masked_kernels(model):
        assert not tiny.off_mask(item, item.kernel).any()
        assert np.count_nonzero(item.kernel.numpy()) == item.size / 2


def test_grown_connections_start_at_zero_with_fresh_slots():
    trainer = tiny.trainer(rigl(update_interval=1000))
    trainer.train(tiny.batches(), 7)
    before = [
        (item.mask.numpy(), item.kernel.numpy(), slot.variable.numpy())
        for item, (slot,) in zip(trainer.kernels, trainer._slots)
    ]
    gradients = [
        tf.random.normal(v.shape, seed=1)
        for v in trainer.model.trainable_variables
    ]
    trainer.update_masks(gradients)
    for (mask, kernel, momentum), item, (slot,) in zip(
        before, trainer.kernels, trainer._slots
    ):
        grown = (item.mask.numpy() == 1) & (mask == 0)
        kept = (item.mask.numpy() == 1) & (mask == 1)
        assert grown.any()
        assert not item.kernel.numpy()[grown].any()
        assert not slot.variable.numpy()[grown].any()
        np.testing.assert_array_equal(item.kernel.numpy()[kept], kernel[kept])
        np.testing.assert_array_equal(
            slot.variable.numpy()[kept], momentum[kept]
        )
        assert momentum[kept].any()


@pytest.mark.parametrize("nesterov", [False, True])
def test_trajectory_equals_a_numpy_implementation(nesterov):
    """Train softmax regression by RigL, here and in numpy.

    The constants are exact in float32, which Keras puts them through.
    """
    x, y = tiny.arrays(48, "float64")
    dense = keras.layers.Dense(4, dtype="float64", use_bias=False)
    model = keras.Sequential([keras.Input((6,), dtype="float64"), dense])
    model = rigl_tf.sparsify(model, 0.5)
    (item,) = rigl_tf.masked_kernels(model)
    w, mask = item.kernel.numpy(), item.mask.numpy()
    trainer = rigl_tf.SparseTrainer(
        model,
        rigl(update_interval=3, update_end_step=9),
        keras.optimizers.SGD(0.5, momentum=0.875, nesterov=nesterov),
        tiny.LOSS,
        l2=1 / 64,
    )
    data = tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(8)
    trainer.train(data, 12)
    expected = oracle_rigl(w, mask, x, y, nesterov)
    np.testing.assert_array_equal(item.mask.numpy(), expected[1])
    np.testing.assert_allclose(item.kernel.numpy(), expected[0], atol=1e-12)


def oracle_rigl(w, mask, x, y, nesterov):
    velocity, position = np.zeros_like(w), 0

    def gradient():
        nonlocal position
        rows = np.arange(position, position + 8) % len(x)
        position += 8
        logits = x[rows] @ w
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        p[np.arange(8), y[rows]] -= 1
        return x[rows].T @ p / 8

    for t in range(12):
        if t % 3 == 0 and t <= 9:
            new, grown = oracle.drop_and_grow(
                mask, np.abs(w), np.abs(gradient()), 0.5
            )
            retained = (new > 0) & ~grown
            w, velocity, mask = w * retained, velocity * retained, new
        g = (gradient()) * mask + w / 64
        velocity = 0.875 * velocity - 0.5 * g
        w = w + (0.875 * velocity - 0.5 * g if nesterov else velocity)
    return w, mask


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_gradients_move_no_mask_and_are_counted(bad):
    trainer = tiny.trainer(rigl())
    before = [item.mask.numpy() for item in trainer.kernels]
    weights = [item.kernel.numpy() for item in trainer.kernels]
    gradients = [
        np.ones(v.shape, "float32") for v in trainer.model.trainable_variables
    ]
    gradients[0][0, 0] = bad
    trainer.update_masks([tf.constant(g) for g in gradients])
    assert int(trainer.skipped_updates.numpy()) == 1
    assert not trainer.update_due()  # a step comes first
    for old, w, item in zip(before, weights, trainer.kernels):
        np.testing.assert_array_equal(old, item.mask.numpy())
        np.testing.assert_array_equal(w, item.kernel.numpy())
    gradients[0][0, 0] = 1.0
    trainer.update_masks([tf.constant(g) for g in gradients])
    assert int(trainer.skipped_updates.numpy()) == 1
    assert any(
        not np.array_equal(old, item.mask.numpy())
        for old, item in zip(before, trainer.kernels)
    )


def test_snfs_averages_survive_a_non_finite_step():
    updater = updaters.SNFS(drop_fraction=schedules.Constant(0.3))
    trainer = tiny.trainer(updater)
    good = [tf.ones(k.kernel.shape) for k in trainer.kernels]
    updater.observe(trainer.kernels, good, 0)
    updater.observe(trainer.kernels, [g * np.nan for g in good], 0)
    for average in updater.variables().values():
        np.testing.assert_allclose(average.numpy(), 0.1, rtol=1e-6)


def set_updater():
    return updaters.SET(
        update_interval=4,
        update_end_step=None,
        drop_fraction=schedules.Constant(0.5),
    )


@pytest.mark.parametrize(
    "build, compiled",
    [
        (rigl, False),
        params.slow((rigl, True)),
        params.slow((set_updater, False)),
        (set_updater, True),
    ],
)
def test_own_loops_equal_ours(build, compiled):
    ours = tiny.trainer(build())
    ours.train(tiny.batches(), 10)
    keras.utils.set_random_seed(0)
    updater = build()
    model = tiny.masked_mlp(updater)
    sparse = steps.SparseSteps(model, updater, tiny.sgd())

    def gradients(x, y):
        with tf.GradientTape() as tape:
            loss = tiny.LOSS(y, model(x, training=True))
        return tape.gradient(loss, model.trainable_variables)

    def train(x, y):
        sparse.apply_gradients(gradients(x, y))

    def update(x, y):
        sparse.update_masks(gradients(x, y))

    if compiled:
        train, update = tf.function(train), tf.function(update)
    data = iter(tiny.batches())
    while sparse.step < 10:
        if updater.needs.batch and sparse.update_due():
            update(*next(data))
        train(*next(data))
        if not updater.needs.batch and sparse.update_due():
            sparse.update_masks()
    assert sparse.last_update_step == 8
    for a, b in zip(ours.kernels, sparse.kernels):
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())
        np.testing.assert_allclose(
            a.kernel.numpy(), b.kernel.numpy(), atol=1e-6
        )


def test_counted_updates_are_steps():
    trainer = tiny.trainer(rigl(counts_update_steps=True))
    trainer.train(tiny.batches(), 9)  # updates are steps 0, 4 and 8
    assert trainer.step == 9
    assert int(trainer.optimizer.iterations.numpy()) == 6


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_l2_is_not_in_the_dense_gradient_but_decays_active_weights(scale):
    trainer = tiny.trainer(
        updaters.Static(),
        lambda: keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(1.0), scale
        ),
        l2=0.25,
    )
    before = [item.kernel.numpy() for item in trainer.kernels]
    biases = [layer.bias.numpy() for layer in _denses(trainer.model)]
    zeros = [tf.zeros(v.shape) for v in trainer.model.trainable_variables]
    trainer.apply_gradients(zeros)
    for w, item in zip(before, trainer.kernels):
        np.testing.assert_allclose(item.kernel.numpy(), 0.75 * w, rtol=1e-6)
    for b, layer in zip(biases, _denses(trainer.model)):
        np.testing.assert_array_equal(b, layer.bias.numpy())


def _denses(model):
    return [layer.layer for layer in model.layers]


def test_constraints_are_back_after_a_step():
    trainer = tiny.trainer(updaters.Static())
    trainer.train(tiny.batches(), 2)
    for item in trainer.kernels:
        assert item.kernel.constraint is not None


def test_seeded_momentum_needs_sgd():
    with pytest.raises(ValueError, match="seeds the momentum of SGD.*Adam"):
        tiny.trainer(rigl(initial_accumulator_scale=1.0), keras.optimizers.Adam)


def test_negative_l2_is_refused():
    with pytest.raises(ValueError, match="`l2` must be at least 0.*-1"):
        tiny.trainer(updaters.Static(), l2=-1)


def test_a_plain_model_is_refused():
    with pytest.raises(ValueError, match="call `rigl_tf.sparsify` first"):
        rigl_tf.SparseTrainer(
            tiny.mlp(), updaters.Static(), tiny.sgd(), tiny.LOSS
        )


@pytest.mark.parametrize(
    "updater", [updaters.SNIP(), updaters.Pruning(schedule="constant")]
)
def test_methods_that_begin_dense_refuse_sparse_masks(updater):
    model = rigl_tf.sparsify(tiny.mlp(), 0.5, "uniform")
    with pytest.raises(ValueError, match='first_mask="dense"'):
        rigl_tf.SparseTrainer(model, updater, tiny.sgd(), tiny.LOSS)
    dense = rigl_tf.sparsify(tiny.mlp(), 0.5, first_mask="dense")
    rigl_tf.SparseTrainer(dense, updater, tiny.sgd(), tiny.LOSS)
    # At sparsity 0 there is nothing to choose.
    whole = rigl_tf.sparsify(tiny.mlp(), 0.0, "uniform")
    rigl_tf.SparseTrainer(whole, updater, tiny.sgd(), tiny.LOSS)


@pytest.mark.parametrize("name", ["Muon", params.slow("Lamb")])
def test_steps_that_mix_positions_keep_zeros(name):
    optimizer = getattr(keras.optimizers, name)(0.01)
    if name == "Muon" and keras.__version__ < "3.13":
        with pytest.raises(ValueError, match="Muon, whose variable"):
            # It keeps its slots in dictionaries.
            tiny.sparse_model(tiny.rigl(), optimizer)
        return
    sparse = tiny.sparse_model(tiny.rigl(), optimizer)
    sparse.fit(*tiny.arrays(), epochs=3, batch_size=16, verbose=0)
    assert tiny.leaks(sparse.model) == 0
    trainer = tiny.trainer(
        tiny.rigl(), lambda: getattr(keras.optimizers, name)(0.01)
    )
    trainer.train(tiny.batches(), 10)
    assert tiny.leaks(trainer.model) == 0


def test_repair_changes_no_bit_of_a_clean_run():
    trainer = tiny.trainer(tiny.rigl(), keras.optimizers.Adagrad)
    trainer.train(tiny.batches(), 8)
    before = checkpoints.arrays_of(trainer, [])
    trainer.repair()
    for name, array in checkpoints.arrays_of(trainer, []).items():
        assert array.tobytes() == before[name].tobytes()


@pytest.mark.slow
def test_the_scale_of_the_loss_is_not_in_the_dense_gradients():
    grown = []
    for scaled in (False, True):
        keras.utils.set_random_seed(0)
        optimizer = keras.optimizers.SGD(0.0)
        if scaled:
            optimizer = keras.optimizers.LossScaleOptimizer(
                optimizer, initial_scale=2.0**10
            )
        updater = tiny.rigl(
            grow_init="grad_scale", initial_accumulator_scale=0.5
        )
        sparse = tiny.sparse_model(updater, optimizer)
        sparse.fit(*tiny.arrays(), batch_size=64, epochs=2, verbose=0)
        grown.append([i.kernel.numpy() for i in _kernels(sparse)])
    for a, b in zip(*grown):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_grasp_chooses_alike_at_any_scale_of_the_loss():
    chosen = []
    for scale in (1.0, 2.0**80):  # the square of which float32 does not hold
        keras.utils.set_random_seed(0)
        optimizer = keras.optimizers.LossScaleOptimizer(
            keras.optimizers.SGD(0.0), scale
        )
        sparse = tiny.sparse_model(updaters.GraSP(), optimizer)
        sparse.fit(*tiny.arrays(), verbose=0)
        assert int(sparse.steps.skipped_updates.numpy()) == 0
        chosen.append([item.mask.numpy() for item in _kernels(sparse)])
    for a, b in zip(*chosen):
        np.testing.assert_array_equal(a, b)


def _kernels(sparse):
    return rigl_tf.masked_kernels(sparse.model)


def test_kernels_without_gradient_are_no_obstacle():
    model = tiny.masked_mlp(tiny.rigl())
    pair = steps.SparseSteps(model, tiny.rigl(), tiny.sgd())
    gradients = [tf.ones(v.shape) for v in model.trainable_variables]
    gradients[0] = None
    pair.update_masks(gradients)
    assert int(pair.skipped_updates.numpy()) == 0
    assert tiny.leaks(model) == 0


def test_averaged_weights_are_put_in_place():
    trainer = tiny.trainer(
        tiny.rigl(),
        lambda: keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9),
    )
    trainer.train(tiny.batches(), 10)
    last = [item.kernel.numpy() for item in trainer.kernels]
    trainer.finish()
    for before, item in zip(last, trainer.kernels):
        assert not np.array_equal(before, item.kernel.numpy())
    assert tiny.leaks(trainer.model) == 0
