"""Pruning, one-shot methods and AC/DC against golden values and numpy."""

import json
import pathlib

import keras
import numpy as np
import oracle
import pytest
import tensorflow as tf
import tiny

from rigl_tf import updaters
from rigl_tf.accounting import training_costs
from rigl_tf.experiments import config
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masking
from rigl_tf.masks import draws

GOLDEN = json.loads(
    (pathlib.Path(__file__).parents[1] / "golden/gmp.json").read_text(
        encoding="utf-8"
    )
)


def kernel(weights, sparsity, mask=None, path="a/kernel"):
    weights = np.asarray(weights, "float32")
    mask = np.ones_like(weights) if mask is None else mask.astype("float32")
    return kernel_masks.MaskedKernel(
        path,
        keras.Variable(weights * mask),
        keras.Variable(mask, trainable=False, dtype="bool"),
        sparsity,
    )


def decide(updater, kernels, step, gradients=None):
    updater.build(kernels)
    changes = updater.changes(kernels, gradients, tf.constant(step, tf.int64))
    return [change.mask.numpy() for change in changes]


@pytest.mark.parametrize("case", GOLDEN["schedules"], ids=lambda c: c["name"])
def test_the_schedule_is_that_of_tfmot(case):
    assert case["s0"] == 0.0
    updater = updaters.Pruning(
        update_begin_step=case["begin"],
        update_end_step=case["end"],
        update_interval=case["freq"],
        power=case["power"],
    )
    wanted = case["tfmot"]
    for step, due, sparsity in zip(
        wanted["steps"], wanted["should_prune"], wanted["sparsity"]
    ):
        assert (updater.next_update(step, None) == step) == due
        if due:
            share = updater.sparsity_progress(step)
            assert share * case["s1"] == pytest.approx(sparsity, abs=1e-6)


@pytest.mark.parametrize("case", GOLDEN["masks"], ids=lambda c: c["name"])
def test_the_masks_are_those_of_tfmot(case):
    updater = updaters.Pruning(schedule="constant", update_end_step=None)
    item = kernel(case["weights"], case["sparsity"])
    (mask,) = decide(updater, [item], 0)
    np.testing.assert_array_equal(mask, case["expected_mask"])


def test_a_kernel_keeps_at_least_one_weight():
    (mask,) = decide(
        updaters.Pruning(schedule="constant", update_end_step=None),
        [kernel([1, 3, 2], 0.99)],
        0,
    )
    assert mask.tolist() == [0, 1, 0]


def test_pruned_weights_never_come_back():
    mask = np.array([1, 0, 1, 1, 0, 1])
    item = kernel([3, 9, 1, 2, 9, 4], 0.5, mask)
    item.kernel.assign([3, 9, 1, 2, 9, 4])  # not even if they were large
    (mask,) = decide(
        updaters.Pruning(schedule="constant", update_end_step=None), [item], 0
    )
    assert mask.tolist() == [1, 0, 0, 1, 0, 1]


def test_global_pruning_ranks_all_kernels_together():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=s) * f for s, f in [((9, 7), 1), ((5, 6), 3)]]
    kernels = [kernel(w, s, path=str(s)) for w, s in zip(weights, (0.9, 0.5))]
    updater = updaters.Pruning(
        update_interval=5, update_end_step=10, scope="global"
    )
    found = decide(updater, kernels, 10)
    sparsity = (0.9 * 63 + 0.5 * 30) / 93
    flat = np.concatenate([np.abs(w).reshape(-1) for w in weights])
    expected = oracle.top_k(flat.astype("float32"), round(93 * (1 - sparsity)))
    np.testing.assert_array_equal(
        np.concatenate([m.reshape(-1) for m in found]), expected
    )


@pytest.mark.parametrize("method", ["Pruning", "ACDC", "SNIP", "GraNet"])
def test_global_ranking_needs_single_weights(method):
    window = {"update_end_step": 5, "update_interval": 5}
    window = window if method != "SNIP" else {}
    updater = getattr(updaters, method)(scope="global", **window)
    with pytest.raises(ValueError, match='"unstructured".*channel_sum'):
        tiny.trainer(updater, pattern="channel")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"update_end_step": None}, "needs an end"),
        ({"update_begin_step": 5, "update_end_step": 5}, "needs an end"),
        ({"update_end_step": 1.5}, "a fraction of the run"),
        ({"initial_sparsity": 1.0}, "initial_sparsity"),
        ({"power": 0}, "power"),
        ({"scope": "all"}, "scope"),
        ({"schedule": "linear"}, "schedule"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        updaters.Pruning(**arguments)


def test_a_pruned_run_costs_what_its_networks_cost():
    updater = updaters.Pruning(
        update_begin_step=10, update_end_step=30, update_interval=10
    )
    # f_D 1, f_S 0.2: zeros in place 0, 1 - (1/2)^3 = 0.875, then all.
    between = 1 - 0.875 * 0.8
    total = 3 * (20 * 1 + 10 * between + 20 * 0.2)
    assert training_costs.run_flops(updater, 0.2, 1.0, 50) == pytest.approx(
        total
    )
    mean = training_costs.step_flops(updater, 0.2, 1.0, 50)
    assert mean == pytest.approx(total / 50)


def test_acdc_costs_what_its_phases_cost():
    updater = updaters.ACDC(
        update_begin_step=10, update_interval=10, update_end_step=45
    )
    # Turns at 10 (sparse), 20 (dense), 30 (sparse); at 40 it stays sparse.
    total = 3 * (10 + 10 * 0.2 + 10 + 10 * 0.2 + 20 * 0.2)
    assert training_costs.run_flops(updater, 0.2, 1.0, 60) == pytest.approx(
        total
    )


def test_the_last_phase_of_acdc_has_no_end():
    updater = updaters.ACDC(update_interval=10, update_end_step=35)
    found = [updater.sparsity_progress(step) for step in range(5, 75, 10)]
    assert found == [1, 0, 1, 1, 1, 1, 1]


def test_acdc_alternates_and_begins_anew_from_zero():
    trainer = tiny.trainer(
        updaters.ACDC(
            update_begin_step=4, update_interval=4, update_end_step=14
        )
    )
    densities = []
    for n_steps in range(1, 20):
        trainer.train(tiny.batches(), n_steps)
        item = trainer.kernels[0]
        densities.append(float(np.mean(item.mask.numpy())))
        if n_steps == 8:
            assert np.count_nonzero(item.kernel.numpy()) == 24
        if n_steps == 9:
            assert np.count_nonzero(item.kernel.numpy()) > 30
    expected = [1.0] * 3 + [0.5] * 4 + [1.0] * 4 + [0.5] * 8
    assert densities == expected


def test_granet_prunes_then_moves():
    rng = np.random.default_rng(1)
    weights, gradient = rng.normal(size=(2, 10, 10)).astype("float32")
    item = kernel(weights, 0.8)
    updater = updaters.GraNet(
        update_interval=10, update_end_step=20, drop_fraction=0.3
    )
    updater.build([item])
    updater._drop_fraction = lambda step: tf.constant(0.3)
    (change,) = updater.changes(
        [item], [tf.constant(gradient)], tf.constant(10, tf.int64)
    )
    n_left = round(100 * (1 - 0.8 * 0.875))
    pruned = oracle.top_k(np.abs(weights), n_left)
    expected, _ = oracle.drop_and_grow(
        pruned, np.abs(weights), np.abs(gradient), 0.3
    )
    np.testing.assert_array_equal(change.mask, expected)
    assert not change.grown.numpy().any()  # all were active before


def softmax_gradient(w, x, y, temperature):
    logits = x @ w / temperature
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return x.T @ (p - np.eye(w.shape[1])[y]) / len(x) / temperature


@pytest.mark.parametrize(
    "absolute, temperature", [(False, 1.0), (True, 1.0), (False, 200.0)]
)
def test_grasp_keeps_what_the_gradient_flow_needs(
    absolute, temperature, mirrored
):
    """The Hessian-gradient product against finite differences in numpy."""
    for strategy in (None, mirrored):
        with (strategy or tf.distribute.get_strategy()).scope():
            model = keras.Sequential(
                [
                    keras.Input((6,), dtype="float64"),
                    keras.layers.Dense(4, use_bias=False, dtype="float64"),
                ]
            )
            x, y = tiny.arrays(32, "float64")
            w = np.random.default_rng(3).normal(size=(6, 4))
            model.layers[0].kernel.assign(w)
            masked = masking.sparsify(model, 0.5, first_mask="dense")
            trainer = tiny.rigl_tf.SparseTrainer(
                masked,
                updaters.GraSP(absolute=absolute, temperature=temperature),
                keras.optimizers.SGD(0.0),
                tiny.LOSS,
                strategy,
            )
        data = tf.data.Dataset.from_tensors((x, y)).repeat()
        data = data.unbatch().batch(32)
        trainer.train(data, 1)
        g = softmax_gradient(w, x, y, temperature)
        eps = 1e-6 * temperature**2
        hg = softmax_gradient(w + eps * g, x, y, temperature)
        hg = hg - softmax_gradient(w - eps * g, x, y, temperature)
        scores = np.abs(w * hg) if absolute else w * hg
        (item,) = trainer.kernels
        mask = np.asarray(item.mask.numpy())
        np.testing.assert_array_equal(mask, oracle.top_k(scores, 12))


@pytest.mark.parametrize("score", ["magnitude", "saliency", "random"])
def test_one_shot_pruning_keeps_the_best(score):
    rng = np.random.default_rng(0)
    weights, gradient = rng.normal(size=(2, 8, 6)).astype("float32")
    updater = updaters.OneShot(prune_step=3, score=score, seed=5)
    found = decide(
        updater,
        [kernel(weights, 0.7)],
        3,
        [tf.constant(gradient)] if updater.needs.batch else None,
    )
    draw = draws.stateless_seed(5, "a/kernel", "one_shot", 3)
    scores = {
        "magnitude": np.abs(weights),
        "saliency": np.abs(weights * gradient),
        "random": draws.uniform_scores((8, 6), draw).numpy(),
    }[score]
    np.testing.assert_array_equal(found[0], oracle.top_k(scores, 48 - 33))


def test_one_shot_pruning_costs_dense_steps_first():
    updater = updaters.OneShot(prune_step=10, score="saliency")
    total = training_costs.run_flops(updater, 0.2, 1.0, 50)
    assert total == pytest.approx(3 * 10 + 3 + 3 * 40 * 0.2)


def test_grasp_wants_logits():
    model = tiny.masked_mlp(updaters.GraSP())
    with pytest.raises(ValueError, match="from_logits=True"):
        tiny.rigl_tf.SparseTrainer(
            model, updaters.GraSP(), tiny.sgd(), "mean_squared_error"
        )
    sparse = tiny.rigl_tf.SparseModel(model, updaters.GraSP())
    with pytest.raises(ValueError, match="from_logits=True"):
        sparse.compile("sgd", "sparse_categorical_crossentropy")
    sparse = tiny.rigl_tf.SparseModel(model, updaters.GraSP(temperature=1.0))
    sparse.compile("sgd", "sparse_categorical_crossentropy")


def test_grasp_in_fit_chooses_as_the_loop_does():
    x, y = tiny.arrays()
    loop = tiny.trainer(updaters.GraSP())
    loop.train(tiny.batches(), 3)
    keras.utils.set_random_seed(0)
    model = tiny.masked_mlp(updaters.GraSP())
    sparse = tiny.rigl_tf.SparseModel(model, updaters.GraSP())
    sparse.compile(tiny.sgd(), tiny.LOSS)
    sparse.fit(x, y, batch_size=16, shuffle=False, verbose=0)
    assert sparse.steps.step == loop.step == 3
    for a, b in zip(loop.kernels, sparse.steps.kernels):
        np.testing.assert_array_equal(a.mask.numpy(), b.mask.numpy())


@pytest.mark.parametrize("method", ["SNIP", "GraSP", "OneShot"])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_an_overflow_at_the_first_batch_only_delays_the_choice(method, scale):
    """Float16 with the scale that `LossScaleOptimizer` begins with."""
    options = {"score": "saliency"} if method == "OneShot" else {}
    updater = getattr(updaters, method)(**options)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        trainer = tiny.trainer(
            updater,
            lambda: keras.optimizers.LossScaleOptimizer(
                keras.optimizers.SGD(1e-4)
            ),
        )
    finally:
        keras.config.set_dtype_policy("float32")
    data = tiny.batches().map(lambda x, y: (x * scale, y))
    trainer.train(data, 20)
    for item in trainer.kernels:
        assert np.count_nonzero(item.mask.numpy()) == item.size // 2
    assert trainer.last_done_step is not None
    if scale > 1 and method == "SNIP":
        assert int(trainer.skipped_updates.numpy()) > 0


@pytest.mark.parametrize(
    "words",
    [
        ["methods/one_shot_magnitude", "PRUNE_BEGIN_STEP=3000"],
        ["methods/one_shot_saliency", "PRUNE_BEGIN_STEP=2000"],
        ["methods/pruning", "PRUNE_INTERVAL=5000"],
        ["methods/pruning", "PRUNE_INTERVAL=60"],
        ["methods/granet", "PRUNE_END_STEP=2000"],
        ["methods/granet", "UPDATE_INTERVAL=33"],
    ],
)
def test_runs_that_would_not_be_pruned_are_refused(words):
    words = ["tasks/digits_mlp", *words, "SPARSITY=0.9"]
    with pytest.raises(ValueError, match="PRUNE_INTERVAL"):
        config.parse(config.read(words))()


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_pruning_may_begin_at_a_sparsity(scope):
    # s_t = s_f + (s_i - s_f) (1 - (t - t_0) / (t_n - t_0))^3.
    size, s_i, s_f = 400, 0.5, 0.9
    weights = np.random.default_rng(0).normal(size=[20, size // 20])
    item = kernel(weights, s_f)
    updater = updaters.Pruning(
        initial_sparsity=s_i,
        update_begin_step=10,
        update_end_step=40,
        update_interval=10,
        scope=scope,
    )
    for step in (10, 20, 30, 40):
        s_t = s_f + (s_i - s_f) * (1 - (step - 10) / 30) ** 3
        (mask,) = decide(updater, [item], step)
        assert mask.sum() == round(size * (1 - s_t))


def test_each_kernel_begins_at_its_share():
    items = [
        kernel(np.ones([10, 10]) + np.arange(100).reshape(10, 10), s)
        for s in (0.8, 0.4)
    ]
    updater = updaters.Pruning(initial_sparsity=0.3, update_end_step=100)
    masks_ = decide(updater, items, 0)  # S = 0.6: half of the final zeros
    assert [mask.sum() for mask in masks_] == [60, 80]
    with pytest.raises(ValueError, match="depends on the target"):
        updater.sparsity_progress(0)
    assert updater.resolved(100, 0.6).sparsity_progress(0) == pytest.approx(0.5)
    assert updater.resolved(100, 0.6).sparsity_progress(100) == 1.0
    with pytest.raises(ValueError, match="at most the overall target"):
        decide(updaters.Pruning(initial_sparsity=0.7), items, 0)
