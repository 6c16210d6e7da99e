import keras
from keras import layers as kl
import numpy as np
import params
import pytest
import tensorflow as tf
import tiny
import zoo

import rigl_tf
from rigl_tf import updaters
from rigl_tf.training import steps


def rigl(method=updaters.RigL):
    return method(update_interval=4, update_end_step=8, drop_fraction=0.5)


def assert_sparse(model, sparsity):
    for item in rigl_tf.masked_kernels(model):
        active = item.mask.numpy().sum()
        assert active == item.size - int(sparsity * item.size)
        assert not tiny.off_mask(item, item.kernel).any()


def compiled(model, updater=None, optimizer=None):
    sparse = rigl_tf.SparseModel(model, updater or rigl())
    sparse.compile(optimizer or tiny.sgd(), tiny.LOSS)
    return sparse


def assert_same(a, b):
    for p, q in zip(a, b, strict=True):
        np.testing.assert_array_equal(p, q)


class OwnLoss(rigl_tf.SparseModel):
    def gradients(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            predictions = self(x, training=True)
            loss = tf.reduce_mean((predictions - y) ** 2)
            loss = self.optimizer.scale_loss(loss)
        variables = [v.value for v in self.trainable_variables]
        return predictions, tape.gradient(loss, variables)


class OwnStep(rigl_tf.SparseModel):
    def __init__(self, *args):
        super().__init__(*args)
        self.mine = keras.metrics.Sum(name="mine")

    def train_step(self, data):
        _, gradients = self.gradients(data)
        self.steps.apply_gradients([2 * g for g in gradients])
        self.mine.update_state(1.0)
        return self.get_metrics_result()


@pytest.mark.parametrize("cls, rate", [(OwnLoss, 0.5), (OwnStep, 0.25)])
def test_own_losses_and_steps(cls, rate):
    x, y = tiny.arrays()
    y = keras.ops.one_hot(y, 4)
    models = []
    for kind, learning_rate in ((rigl_tf.SparseModel, 0.5), (cls, rate)):
        keras.utils.set_random_seed(0)
        sparse = kind(tiny.masked_mlp(rigl()), rigl())
        sparse.compile(keras.optimizers.SGD(learning_rate), "mse")
        history = sparse.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        assert sparse.steps.last_update_step == 4
        assert_sparse(sparse.model, 0.5)
        models.append(sparse.model)
    for a, b in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    assert cls is OwnLoss or history.history["mine"] == [6.0]


class OwnTraining(zoo.Subclassed):
    def train_step(self, data):
        return {}


def test_models_with_a_step_of_their_own_are_refused():
    dense = OwnTraining()
    dense(np.zeros((1, 6)))
    model = rigl_tf.sparsify(dense, 0.5)
    with pytest.raises(ValueError, match="`train_step` of OwnTraining.*grad"):
        rigl_tf.SparseModel(model, rigl())


def test_overflow_moves_no_mask_and_no_weight():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = tiny.masked_mlp(rigl())
    finally:
        keras.config.set_dtype_policy(policy)
    optimizer = keras.optimizers.LossScaleOptimizer(tiny.sgd(), 2.0**40)
    sparse = compiled(model, optimizer=optimizer)
    before = model.get_weights()
    x, y = tiny.arrays(48)
    sparse.fit(x, y, batch_size=8, verbose=0)
    assert_same(model.get_weights(), before)
    assert int(sparse.steps.skipped_updates) == 2  # at steps 0 and 4
    optimizer.dynamic_scale.assign(8.0)
    sparse.fit(x, y, batch_size=8, verbose=0)
    assert any((a != b).any() for a, b in zip(model.get_weights(), before))


def test_constraints_of_your_own_stay_in_force(tmp_path):
    limit = keras.constraints.MaxNorm(0.2)
    layer = kl.Dense(4, kernel_constraint=limit)
    dense = keras.Sequential([keras.Input((6,)), layer])
    model = rigl_tf.sparsify(dense, 0.5)
    compiled(model).fit(*tiny.arrays(), batch_size=4, verbose=0)
    assert_sparse(model, 0.5)
    plain = rigl_tf.strip(model)
    norms = np.linalg.norm(plain.get_weights()[0], axis=0)
    assert norms.max() <= 0.2 + 1e-6 and norms.max() > 0.19
    assert isinstance(plain.layers[0].kernel_constraint, type(limit))


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def backed_up(directory, method, seed, stop=()):
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    dense = tiny.dropout_mlp()
    sparse = compiled(rigl_tf.sparsify(dense, 0.5, seed=seed), rigl(method))
    backup = keras.callbacks.BackupAndRestore(directory)
    try:
        sparse.fit(
            *tiny.arrays(16),
            batch_size=4,
            shuffle=False,
            epochs=4,
            callbacks=[backup, *stop],
            verbose=0,
        )
    except KeyboardInterrupt:
        assert stop
    return sparse


@pytest.mark.parametrize("method", [updaters.RigL, params.slow(updaters.SNFS)])
def test_interrupted_fits_go_on_as_if_nothing_had_happened(method, tmp_path):
    whole = backed_up(tmp_path / "whole", method, 0)
    part = backed_up(tmp_path / "part", method, 0, [Stop()])
    assert 6 <= part.steps.step < whole.steps.step
    again = backed_up(tmp_path / "part", method, 1)
    assert len(again.history.epoch) == 2
    assert_same(again.model.get_weights(), whole.model.get_weights())
    for state in (lambda s: s.steps.state(), lambda s: s._own_state()):
        a, b = state(again), state(whole)
        assert a.keys() == b.keys()
        assert_same([v.numpy() for v in a.values()], list(b.values()))
    assert_same(
        [v.numpy() for v in again.optimizer.variables],
        [v.numpy() for v in whole.optimizer.variables],
    )


def test_weights_belong_to_compiled_models(tmp_path):
    model = tiny.masked_mlp(rigl())
    compiled(model).save_weights(tmp_path / "some.weights.h5")
    with pytest.raises(ValueError, match="must be compiled before"):
        rigl_tf.SparseModel(model, rigl()).load_weights(
            tmp_path / "some.weights.h5"
        )


def test_clipping_sees_masked_gradients_and_growth_the_dense_ones():
    model = tiny.masked_mlp(rigl())
    optimizer = keras.optimizers.SGD(0.5, global_clipnorm=0.1)
    pair = steps.SparseSteps(model, rigl(), optimizer)
    rng = np.random.default_rng(0)
    before = [v.numpy() for v in model.trainable_variables]
    dense = [rng.normal(size=v.shape).astype(np.float32) for v in before]
    masks = [1.0, 1.0, 1.0, 1.0]
    masks[::2] = [k.mask.numpy() for k in pair.kernels]
    masked = [g * m for g, m in zip(dense, masks)]
    norm = np.sqrt(sum((g**2).sum() for g in masked))
    pair.apply_gradients([tf.constant(g) for g in dense])
    for variable, w, g in zip(model.trainable_variables, before, masked):
        np.testing.assert_allclose(variable, w - 0.05 * g / norm, atol=1e-6)
    # Of 24 active connections half move, to where the gradient is large.
    large = np.flatnonzero(masks[0] == 0)[:12]
    dense[0].ravel()[large] = 10.0
    pair.step_variable.assign(0)
    report = pair.update_masks([tf.constant(g) for g in dense])
    assert pair.kernels[0].mask.numpy().ravel()[large].all()
    np.testing.assert_allclose(report[0], [12, 10 * np.sqrt(12)], rtol=1e-6)


def test_learning_rate_schedules_count_steps():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [6], [0.1, 0.0]
    )
    trainer = tiny.trainer(rigl(), lambda: keras.optimizers.SGD(schedule))
    trainer.train(tiny.batches(), 6)
    before = trainer.model.get_weights()
    trainer.train(tiny.batches(), 7)
    assert any(
        (a != b).any() for a, b in zip(trainer.model.get_weights(), before)
    )
    before = trainer.model.get_weights()
    trainer.train(tiny.batches(), 8)
    assert_same(trainer.model.get_weights(), before)
