"""Truly sparse layers train as their masked twins do."""

import itertools

import keras
import numpy as np
import params
import pytest
import sparse_layers
import tensorflow as tf
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.layers import sparse_kernels
from rigl_tf.training import checkpoints
from rigl_tf.training.callbacks import mask_statistics

SGD = keras.optimizers.SGD
MOMENTUM = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}
RIGL = {"update_interval": 5, "update_end_step": 25}
# Updater, optimizer, options of the trainer.
RUNS = {
    "momentum": (
        lambda: updaters.RigL(**RIGL),
        lambda: SGD(**MOMENTUM),
        {"l2": 1e-3},
    ),
    "adam": (
        lambda: updaters.RigL(**RIGL),
        lambda: keras.optimizers.Adam(0.01),
        {},
    ),
    "adamw": (
        lambda: updaters.RigL(**RIGL),
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
        {},
    ),
    "adagrad": (
        lambda: updaters.RigL(**RIGL, counts_update_steps=True),
        lambda: keras.optimizers.Adagrad(0.1),
        {},
    ),
    "clipping": (
        lambda: updaters.RigL(**RIGL),
        lambda: SGD(**MOMENTUM, global_clipnorm=0.3),
        {},
    ),
    "averages": (
        lambda: updaters.RigL(**RIGL),
        lambda: SGD(**MOMENTUM, use_ema=True, ema_momentum=0.9),
        {},
    ),
    "set": (
        lambda: updaters.SET(**RIGL, seed=4),
        lambda: SGD(**MOMENTUM),
        {},
    ),
    "gse": (
        lambda: updaters.GSE(**RIGL, seed=4),
        lambda: SGD(**MOMENTUM),
        {},
    ),
    "static": (updaters.Static, lambda: SGD(**MOMENTUM), {}),
}


class Watched(rigl_tf.SparseTrainer):
    """Keep the connections after every update."""

    def update(self, iterator):
        super().update(iterator)
        if not hasattr(self, "seen"):
            self.seen = []
        self.seen.append((self.connections(), self.last_update_report))

    def connections(self):
        masked = [np.flatnonzero(k.mask.numpy()) for k in self.kernels]
        return masked + [k.layer.positions() for k in self.sparse_kernels]


def trainer(compute, updater=None, optimizer=None, sparsity=0.9, **kwargs):
    return Watched(
        sparse_layers.network(compute, sparsity),
        updater or updaters.RigL(**RIGL),
        optimizer or SGD(**MOMENTUM),
        tiny.LOSS,
        **kwargs,
    )


def matrices(trained):
    masked = [k.kernel.numpy() for k in trained.kernels]
    sparse = [k.layer.matrix().toarray() for k in trained.sparse_kernels]
    return masked + sparse


@pytest.mark.parametrize(
    "run", params.cover(list(RUNS), quick=("momentum", "set"))
)
def test_connections_and_weights_are_those_of_masked_training(run):
    updater, optimizer, options = RUNS[run]
    both = [
        trainer(compute, updater(), optimizer(), **options)
        for compute in ("masked", "sparse")
    ]
    assert len(both[1].sparse_kernels) == 2 and not both[1].kernels
    for one in both:
        one.train(sparse_layers.batches(), 40)
    masked, sparse = (getattr(one, "seen", []) for one in both)
    assert len(sparse) == len(masked)
    if run == "static":
        assert not sparse
    else:
        for a, b in zip(sparse[0][0], sparse[-1][0]):
            assert len(a) == len(b) and not np.array_equal(a, b)
    for (theirs, report), (ours, our_report) in zip(masked, sparse):
        for a, b in zip(theirs, ours):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(our_report, report, rtol=1e-3, atol=1e-6)
    for theirs, ours in zip(*map(matrices, both)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "size, method",
    [
        params.slow((2, "rigl")),
        (4, "rigl"),
        params.slow((2, "set")),
        params.slow((4, "gse")),
    ],
)
def test_blocks_move_as_in_masked_training(size, method):
    both = []
    for compute in ("masked", "block"):
        net = sparse_layers.network(
            compute, 0.8, pattern=f"block_{size}x{size}"
        )
        updater = updaters.get(method, **RIGL, seed=4)
        both.append(Watched(net, updater, SGD(**MOMENTUM), tiny.LOSS, l2=1e-3))
        both[-1].train(sparse_layers.batches(), 30)
    masked, blocks = both
    assert [k.block for k in blocks.sparse_kernels] == [size, size]
    for theirs, ours in zip(masked.seen, blocks.seen):
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3, atol=1e-6)
    ours, theirs = (one.dense_masks() for one in (blocks, masked))
    for path, mask in theirs.items():
        np.testing.assert_array_equal(ours[path], mask)
    for a, b in zip(matrices(masked), matrices(blocks)):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_xla_compiles_the_steps_of_blocks():
    found = []
    for jit_compile in (False, True):
        net = sparse_layers.network("block", 0.8, pattern="block_4x4")
        one = Watched(
            net,
            updaters.RigL(**RIGL),
            SGD(**MOMENTUM),
            tiny.LOSS,
            jit_compile=jit_compile,
        )
        one.train(sparse_layers.batches(), 12)
        found.append(matrices(one))
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("run", ["adam", "adagrad"])
def test_slots_of_grown_connections_begin_anew(run):
    updater, optimizer, _ = RUNS[run]
    trained = trainer("sparse", updater(), optimizer())
    batches = iter(sparse_layers.batches())
    trained.plan(40)
    trained.run_steps(batches, 4)
    kernel, slots = trained.sparse_kernels[0], trained._sparse_slots[0]
    before = kernel.layer.positions()
    values = dict(zip(before, slots[0].variable.numpy()))
    trained.update(batches)
    after = kernel.layer.positions()
    fresh = ~np.isin(after, before)
    assert fresh.any()
    slot = slots[0].variable.numpy()
    np.testing.assert_array_equal(slot[fresh], np.float32(slots[0].initial))
    for position, value in zip(after[~fresh], slot[~fresh]):
        assert value == values[position]
    assert not kernel.layer.values.numpy()[fresh].any()


@pytest.mark.slow
def test_fit_and_a_loop_of_your_own_do_what_the_trainer_does():
    by_trainer = trainer("sparse")
    by_trainer.train(sparse_layers.batches(), 30)
    x, y = sparse_layers.arrays()

    model = rigl_tf.SparseModel(sparse_layers.network(), updaters.RigL(**RIGL))
    model.compile(SGD(**MOMENTUM), tiny.LOSS)
    data = tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(32)
    model.fit(data, steps_per_epoch=30, verbose=0)

    net = sparse_layers.network()
    steps = rigl_tf.SparseSteps(net, updaters.RigL(**RIGL), SGD(**MOMENTUM))

    def gradients(x, y):
        with tf.GradientTape() as tape:
            loss = tiny.LOSS(y, net(x, training=True))
        return tape.gradient(loss, [v.value for v in steps.trained_variables])

    @tf.function(autograph=False)
    def step(x, y):
        steps.apply_gradients(gradients(x, y))

    @tf.function(autograph=False)
    def update(x, y):
        with steps.collecting():
            taken = gradients(x, y)
        steps.update_masks(taken)

    for batch in sparse_layers.batches():
        if steps.step == 30:
            break
        (update if steps.update_due() else step)(*batch)

    expected = matrices(by_trainer)
    for other in (model.steps, steps):
        for a, b in zip(expected, matrices(other)):
            np.testing.assert_array_equal(a, b)


def test_gradients_that_were_not_collected_are_refused():
    steps = trainer("sparse")
    gradients = [tf.zeros(v.shape) for v in steps.trained_variables]
    with pytest.raises(ValueError, match="with steps.collecting"):
        steps.update_masks(gradients)


@pytest.mark.slow
def test_resumed_runs_have_the_bits_of_unbroken_ones(tmp_path):
    def with_statistics():
        one = trainer("sparse", optimizer=keras.optimizers.Adam(0.01))
        statistics = mask_statistics.MaskStatistics(
            one.kernels, one.sparse_kernels
        )
        one.reset_totals(1)
        return one, [statistics]

    def train(one, callbacks, n_steps):
        data = sparse_layers.batches().skip(one.n_batches)
        one.train(data, n_steps, callbacks)

    first, callbacks = with_statistics()
    train(first, callbacks, 12)
    store = checkpoints.Checkpoints(tmp_path)
    store.save(12, checkpoints.arrays_of(first, callbacks))
    train(first, callbacks, 24)
    expected = checkpoints.arrays_of(first, callbacks)
    second, callbacks = with_statistics()
    assert checkpoints.resume(second, store, callbacks) == 12
    train(second, callbacks, 24)
    found = checkpoints.arrays_of(second, callbacks)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_statistics_are_those_of_masked_training():
    lines = []
    for compute in ("masked", "sparse"):
        one = trainer(compute)
        statistics = mask_statistics.MaskStatistics(
            one.kernels, one.sparse_kernels
        )
        one.train(sparse_layers.batches(), 20, [statistics])
        lines.append(statistics.line())
    masked, sparse = lines
    assert sparse["itop_rate"] == masked["itop_rate"]
    for ours, theirs in zip(sparse["layers"], masked["layers"]):
        for name, value in theirs.items():
            if name == "target":  # of the count, without its rounding
                continue
            expected = (
                value
                if isinstance(value, (str, list))
                else (pytest.approx(value, rel=1e-3))
            )
            assert ours[name] == expected, name


def overflowing_batch(trained):
    x, y = sparse_layers.arrays(32)
    x[3] = np.inf
    with trained.collecting():
        return trained._gradients((x, y))[1]


def overflowing_product(trained):
    """Return gradients of zero, with pairs of finite numbers."""
    trained._pairs = [
        (tf.fill([1, k.shape[0]], 1e30), tf.fill([1, k.shape[1]], 1e30))
        for k in trained.sparse_kernels
    ]
    return [tf.zeros(v.shape) for v in trained.trained_variables]


@pytest.mark.parametrize("taken", [overflowing_batch, overflowing_product])
def test_overflow_changes_nothing(taken):
    trained = trainer("sparse")
    before = matrices(trained), trained.connections()
    report = trained.update_masks(taken(trained))
    assert not report.numpy()[:, 0].any()
    assert int(trained.skipped_updates.numpy()) == 1
    after = matrices(trained), trained.connections()
    for a, b in zip(itertools.chain(*before), itertools.chain(*after)):
        np.testing.assert_array_equal(a, b)


def test_a_layer_without_gradient_grows_its_lowest_positions():
    """As masked kernels do: all scores are zero."""
    trained = trainer("sparse")
    layer = trained.sparse_kernels[0].layer
    gradients = [tf.zeros(v.shape) for v in trained.trained_variables]
    with trained.collecting():
        pass  # no backward pass
    weights = np.abs(layer.values.numpy())
    before = layer.positions()
    trained.update_masks(gradients)
    n_kept = len(before) - int(np.float32(len(before)) * np.float32(0.3))
    kept = before[np.sort(np.argsort(-weights, kind="stable")[:n_kept])]
    free = np.setdiff1d(np.arange(20 * 64), kept)[: len(before) - n_kept]
    expected = np.union1d(kept, free)
    np.testing.assert_array_equal(layer.positions(), expected)


def test_shared_layers_have_the_sum_of_their_gradients():
    def build():
        shared = keras.layers.Dense(20, "relu", name="fc1")
        inputs = keras.Input((20,))
        x = shared(shared(inputs))
        return keras.Model(inputs, keras.layers.Dense(4, name="out")(x))

    seen = []
    for compute in ("masked", "sparse"):
        net = sparse_layers.network(compute, 0.8, build)
        one = Watched(net, updaters.RigL(**RIGL), SGD(0.1), tiny.LOSS)
        one.train(sparse_layers.batches(), 12)
        seen.append(one.seen[-1][0])
    for a, b in zip(*seen):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_replicas_move_the_connections_of_one(mirrored):
    one = trainer("sparse")
    one.train(sparse_layers.batches(), 20)
    with mirrored.scope():
        two = Watched(
            sparse_layers.network(),
            updaters.RigL(**RIGL),
            SGD(**MOMENTUM),
            tiny.LOSS,
            mirrored,
        )
    two.train(sparse_layers.batches(), 20)
    for a, b in zip(one.connections(), two.connections()):
        np.testing.assert_array_equal(a, b)
    for kernel, other in zip(one.sparse_kernels, two.sparse_kernels):
        copies = [
            variable.value.values
            for variable in (
                other.layer.values,
                *other.layer.structure_variables,
            )
        ]
        for first, second in copies:
            np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(
            copies[0][0], kernel.layer.values.numpy(), atol=1e-5
        )


def tensors_of(function, *arguments):
    """Yield the tensors of a graph and of all functions that it calls."""
    graph = function.get_concrete_function(*arguments).graph
    yield from (t for op in graph.get_operations() for t in op.outputs)
    for other in graph._functions.values():  # private; a rename fails here
        inner = getattr(other, "graph", None)
        if inner is not None:
            yield from (t for op in inner.get_operations() for t in op.outputs)


@pytest.mark.parametrize("method", ["rigl", "gse"])
def test_nothing_has_the_size_of_the_kernel(method):
    """Neither in steps nor in updates, nor in what they call."""
    n_in, n_out = 5000, 3000
    net = keras.Sequential(
        [
            keras.Input((n_in,)),
            rigl_tf.sparse.SparseDense(n_out, 1e-4),
            keras.layers.Dense(4),
        ]
    )
    updater = updaters.get(method, **RIGL)
    one = Watched(net, updater, SGD(**MOMENTUM), tiny.LOSS)
    one.plan(30)
    data = tf.data.Dataset.from_tensor_slices(
        (np.ones((8, n_in), np.float32), np.zeros(8, np.int64))
    )
    batches = iter(data.repeat().batch(8))
    calls = [
        (one._mask_update, (batches,)),
        (one._train_steps, (batches, tf.constant(1), tf.constant(one.totals))),
    ]
    for function, arguments in calls:
        function(*arguments)
        sizes = [
            t.shape.num_elements() or 0
            for t in tensors_of(function, *arguments)
            if t.shape.is_fully_defined()
        ]
        assert len(sizes) > 50
        assert max(sizes) <= 1024**2  # one tile of scores


@pytest.fixture(scope="module")
def net():
    """Return a network that no test changes."""
    return sparse_layers.network()


class OwnDrop(updaters.RigL):
    """Drops by scores of its own."""

    def drop_scores(self, kernel, gradient, step):
        return super().drop_scores(kernel, gradient, step)


@pytest.mark.parametrize(
    "updater, message",
    [
        (lambda: updaters.SNFS(), "SNFS"),
        (lambda: updaters.RigLInverted(), "RigLInverted.*grow_scores"),
        (lambda: updaters.SNIP(), "SNIP"),
        (lambda: updaters.Pruning(), "Pruning"),
        (lambda: updaters.TopKAST(), "TopKAST"),
        (lambda: updaters.StaticReinit(), "StaticReinit"),
        (lambda: OwnDrop(), "OwnDrop.*drop_scores"),
        (lambda: updaters.RigL(gradient_batches=2), "gradient_batches"),
        (lambda: updaters.RigL(drop_noise=0.1), "drop_noise"),
        (lambda: updaters.SET(grow_init="random_normal"), "grow_init"),
        (lambda: updaters.RigL(redistribution="gradient"), "redistribution"),
    ],
)
def test_methods_with_state_for_all_positions_are_refused(
    updater, message, net
):
    with pytest.raises(ValueError, match=message):
        Watched(net, updater(), SGD(**MOMENTUM), tiny.LOSS)


def test_xla_is_refused_before_training():
    with pytest.raises(ValueError, match="compiled by XLA.*fc1/kernel"):
        trainer("sparse", jit_compile=True)
    model = rigl_tf.SparseModel(sparse_layers.network(), "rigl")
    with pytest.warns(UserWarning, match="doesn't support `jit_compile"):
        model.compile(SGD(), tiny.LOSS, jit_compile=True)


def test_frozen_layers_keep_their_connections():
    net = sparse_layers.network()
    net.get_layer("fc1").trainable = False
    one = Watched(net, updaters.RigL(**RIGL), SGD(**MOMENTUM), tiny.LOSS)
    assert [k.path for k in one.sparse_kernels] == ["fc2/kernel"]
    frozen = sparse_kernels.sparse_kernels(net)[0].layer.positions()
    one.train(sparse_layers.batches(), 10)
    after = sparse_kernels.sparse_kernels(net)[0].layer.positions()
    np.testing.assert_array_equal(after, frozen)


def test_a_layer_inside_of_a_loop_is_no_layer_for_rigl():
    layer = rigl_tf.sparse.SparseDense(20, 0.1)

    class Repeated(keras.layers.Layer):
        def build(self, shape):
            self.inner = layer
            self.inner.build(shape)

        def call(self, x):
            _, y = tf.while_loop(
                lambda i, y: i < 3,
                lambda i, y: (i + 1, self.inner(y)),
                [0, x],
                maximum_iterations=3,
            )
            return y

    net = keras.Sequential(
        [keras.Input((20,)), Repeated(), keras.layers.Dense(4)]
    )
    one = Watched(net, updaters.RigL(**RIGL), SGD(**MOMENTUM), tiny.LOSS)
    with pytest.raises(ValueError, match="inside of a loop.*SET or Static"):
        one.train(sparse_layers.batches(), 5)
    by_set = updaters.SET(update_interval=2, update_end_step=9)
    one = Watched(net, by_set, SGD(**MOMENTUM), tiny.LOSS)
    one.train(sparse_layers.batches(), 5)
    assert len(one.seen) == 2
