"""Losses along lines and curves, against a quadratic loss known in full."""

import keras
import numpy as np
import pytest

import rigl_tf
from rigl_tf.analysis import loss
from rigl_tf.analysis import paths
from rigl_tf.analysis import weights

N_INPUTS, N_EXAMPLES = 3, 41
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N_EXAMPLES, N_INPUTS)).astype(np.float32)
Y = RANDOM.normal(size=(N_EXAMPLES, 1)).astype(np.float32)
SQUARES = keras.losses.MeanSquaredError()


def linear(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((N_INPUTS,)), keras.layers.Dense(1)])
    model.layers[-1].bias.assign([float(seed)])
    return model


def mean_square(vector):
    *kernel, bias = np.asarray(vector, float)
    return np.mean((X.astype(float) @ kernel + bias - Y[:, 0]) ** 2)


def line(first, second, **options):
    options = {"function": SQUARES, "batch_size": 10} | options
    return paths.interpolate(first, second, X, Y, **options)


def test_a_line_through_a_quadratic_loss_is_a_parabola():
    a, b = linear(0), linear(1)
    found = line(a, b, points=8)
    start, end = (weights.of_network(model).vector for model in (a, b))
    wanted = [mean_square((1 - t) * start + t * end) for t in found.t]
    np.testing.assert_allclose(found.losses, wanted, rtol=1e-5)
    assert (found.t[0], found.t[-1]) == (-0.2, 1.2)
    assert {0.0, 1.0} <= set(found.t.tolist())
    assert np.isnan(found.accuracies).all()  # labels are no classes


def test_the_ends_are_the_networks_themselves():
    a, b = linear(0), linear(1)
    found = line(a, b)
    for t, model in ((0, a), (1, b)):
        own = float(SQUARES(Y, model(X)))
        assert found.losses[found.t == t][0] == pytest.approx(own, rel=1e-6)


def test_the_other_direction_mirrors_the_line():
    a, b = linear(0), linear(1)
    there, back = line(a, b), line(b, a)
    np.testing.assert_allclose(there.losses, back.losses[::-1], rtol=1e-5)
    assert there.barrier == pytest.approx(back.barrier, abs=1e-6)


def test_a_line_to_itself_is_constant():
    found = line(linear(0), linear(0))
    assert np.ptp(found.losses) == 0
    assert found.barrier == pytest.approx(0, abs=1e-12)
    assert found.is_monotone()


def test_barrier_and_monotony_of_known_losses():
    t = np.array([-0.5, 0, 0.5, 1, 1.5])
    high = paths.Path(t, np.array([9.0, 1, 4, 3, 9]), t, t)
    assert high.barrier == 2  # above the middle of 1 and 3
    assert high.highest == 4
    assert not high.is_monotone()
    falling = paths.Path(t, np.array([9.0, 3, 2, 1, 9]), t, t)
    assert falling.is_monotone() and falling.barrier == 0
    bumpy = paths.Path(t, np.array([9.0, 3, 3.01, 1, 9]), t, t)
    assert not bumpy.is_monotone() and bumpy.is_monotone(0.02)


def sparse_pair():
    """Two networks with known connections: of either one, 4 of 6 inputs."""
    models, masks = [], []
    for seed, active in ((0, [0, 1]), (1, [1, 2, 3])):
        keras.utils.set_random_seed(seed)
        dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
        mask = np.zeros((6, 1), bool)
        mask[active] = True
        masks.append(mask)
        models.append(
            rigl_tf.layers.masking.with_masks(dense, {"dense/kernel": mask})
        )
    return models


def curve(models, **options):
    x = np.tile(X, 2)
    chosen = {"function": SQUARES, "steps": 60, "points": 5, "step_batch": 20}
    return paths.bezier(*models, x, Y, **(chosen | options))


def test_sparse_curves_move_no_weight_that_both_lack():
    models = sparse_pair()
    sparse = curve(models)
    free = np.array([1, 1, 1, 1, 0, 0, 1], bool)  # the bias is free too
    inner = sparse.points[1]
    start = curve(models, steps=0).points[1]
    np.testing.assert_array_equal(inner[~free], 0)
    assert (inner[free] != start[free]).all()
    dense = curve(models, space="dense").points[1]
    assert (dense != start).all()


def test_a_curve_without_steps_is_the_line():
    models = sparse_pair()
    for degree in (1, 2, 3):
        bent = curve(models, steps=0, degree=degree)
        straight = paths.interpolate(
            *models, np.tile(X, 2), Y, points=5, low=0, high=1, function=SQUARES
        )
        np.testing.assert_allclose(bent.losses, straight.losses, rtol=1e-5)


def test_curves_lower_the_loss_and_keep_their_ends():
    models = sparse_pair()
    straight, bent = curve(models, steps=0), curve(models, steps=300)
    assert bent.losses[2] < straight.losses[2]
    for end in (0, -1):
        assert bent.losses[end] == pytest.approx(straight.losses[end])
        np.testing.assert_array_equal(bent.points[end], straight.points[end])


def test_a_step_follows_the_gradient_of_the_control_points():
    """One step, against finite differences of the loss at its t."""
    models = sparse_pair()
    rate, random = 0.01, np.random.default_rng(3)
    t = random.random()
    one = curve(models, steps=1, rate=rate, seed=3, step_batch=N_EXAMPLES)
    start = curve(models, steps=0).points.astype(float)
    x = np.tile(X, 2).astype(float)

    def at(inner):
        w = (1 - t) ** 2 * start[0] + 2 * t * (1 - t) * inner + t**2 * start[2]
        return np.mean((x @ w[:6] + w[6] - Y[:, 0]) ** 2)

    step = np.eye(7) * 1e-5
    slope = [(at(start[1] + e) - at(start[1] - e)) / 2e-5 for e in step]
    slope = np.where([1, 1, 1, 1, 0, 0, 1], slope, 0)
    moved = one.points[1] - start[1]
    np.testing.assert_allclose(moved, -rate * slope, rtol=1e-3, atol=1e-7)


def test_equal_seeds_give_equal_curves():
    models = sparse_pair()
    first, second = (curve(models, steps=20, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)
    assert (curve(models, steps=20, seed=6).points != first.points).any()


def test_moving_statistics_fit_each_point():
    """A network with batch normalization: those of the run do not count."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((N_INPUTS,)),
            keras.layers.Dense(4, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.7),
            keras.layers.Dense(1),
        ]
    )
    given = weights.of_network(model)
    function = loss.Loss(given, X, Y, SQUARES, batch_size=N_EXAMPLES)
    hidden, gamma, beta, kernel, bias = (
        given.vector[place].astype(float) for place in given.places.values()
    )
    z = X.astype(float) @ hidden.reshape(N_INPUTS, 4)
    normal = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-3)
    outputs = (gamma * normal + beta) @ kernel + bias
    wanted = np.mean((outputs - Y[:, 0]) ** 2)
    assert function.value(given.vector)[0] == pytest.approx(wanted, rel=1e-5)
    statistics = model.layers[1].moving_mean.numpy()
    np.testing.assert_array_equal(statistics, 0)  # the model is left alone


def test_other_networks_are_refused():
    keras.utils.set_random_seed(0)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match=r"'dense/kernel' of shape \(3, 1\)"):
        line(linear(0), other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 1}, "points"),
        ({"low": 0.1}, "must enclose 0 and 1"),
        ({"high": float("nan")}, "must enclose 0 and 1"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_lines_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        line(linear(0), linear(1), **options)


@pytest.mark.parametrize(
    "options",
    [{"degree": 0}, {"space": "spares"}, {"steps": -1}, {"rate": 0}],
)
def test_bad_curves_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        curve([linear(0), linear(1)], **options)


def test_networks_come_from_models_and_directories(tmp_path):
    model = sparse_pair()[0]
    given = weights.of_network(
        rigl_tf.SparseModel(model, rigl_tf.updaters.Static())
    )
    assert given.trained.tolist() == [True] * 2 + [False] * 4 + [True]
    assert given.kernels == ("dense/kernel",)
    rigl_tf.strip(model).save(tmp_path / "model.keras")
    masks = {"dense/kernel": given.trained[:6].reshape(6, 1)}
    rigl_tf.masks.storage.save(tmp_path / "masks.npz", masks)
    read = weights.of_network(tmp_path)
    np.testing.assert_array_equal(read.vector, given.vector)
    np.testing.assert_array_equal(read.trained, given.trained)
    with pytest.raises(FileNotFoundError, match=r"has no model\.keras"):
        weights.of_network(tmp_path / "none")


def test_distances_of_known_weights():
    a, b = (weights.of_network(m) for m in sparse_pair())
    wanted = np.sqrt(np.sum((a.vector.astype(float) - b.vector) ** 2))
    assert weights.distance(a, b) == pytest.approx(wanted)
    assert weights.cosine(a, a) == pytest.approx(1)
    assert weights.jaccard(a, b) == 1 / 4  # inputs 0, 1 and 1, 2, 3
    assert weights.jaccard(a, a) == 1
