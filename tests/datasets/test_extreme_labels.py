"""Generated labels: those of the teacher, the same every time."""

import hashlib
import importlib

import numpy as np
import pytest

from rigl_tf import datasets

SMALL = {"n_classes": 500, "n_inputs": 60, "n_train": 5000, "n_test": 300}


def small(**kwargs):
    return datasets.extreme_labels(**{**SMALL, **kwargs})


def teacher(*arguments):
    # The package has a function of the module's name.
    module = importlib.import_module("rigl_tf.datasets.extreme_labels")
    return module.teacher(*arguments)


def test_shapes_and_sizes():
    data = small()
    assert data.input_shape == (60,) and data.n_classes == 500
    assert data.n_train == 5000
    x, y = next(iter(data.train(8, seed=0)))
    assert x.shape == (8, 60) and x.dtype == "float32" and y.shape == (8,)
    assert set(np.unique(x)) == {0.0, 1.0}
    assert len(data.splits[1].labels) == 300


def test_each_class_has_inputs_of_its_own():
    inputs = teacher(20_000, 512, 5)
    assert inputs.shape == (20_000, 5)
    assert (np.diff(inputs, axis=1) > 0).all()  # distinct, ascending
    assert inputs.min() == 0 and inputs.max() == 511
    # Every input belongs to as many classes, up to five deviations.
    counts = np.bincount(inputs.ravel(), minlength=512)
    mean = 20_000 * 5 / 512
    np.testing.assert_allclose(counts, mean, atol=5 * np.sqrt(mean))
    assert len(np.unique(inputs, axis=0)) == 20_000


@pytest.mark.parametrize("fan_in", [1, 7, 60])
def test_inputs_of_the_class_are_on(fan_in):
    data = small(fan_in=fan_in, noise=0.05)
    inputs_of = teacher(500, 60, fan_in)
    for split in data.splits:
        on = np.take_along_axis(split.inputs, inputs_of[split.labels], 1)
        assert on.all()
        n_others = split.inputs.sum() - on.sum()
        n = len(on) * (60 - fan_in)
        assert abs(n_others - 0.05 * n) <= 5 * np.sqrt(0.05 * 0.95 * n)


def test_without_noise_the_teacher_is_always_right():
    """Its weights are ones; no class of 500 has the inputs of another."""
    data = small(noise=0.0)
    weights = np.zeros((60, 500))
    weights[teacher(500, 60, 5), np.arange(500)[:, None]] = 1
    split = data.splits[1]
    predicted = np.argmax(split.inputs @ weights, axis=1)
    np.testing.assert_array_equal(predicted, split.labels)


def test_frequencies_follow_zipf_and_mandelbrot():
    labels = small(n_train=40_000).splits[0].labels
    shares = 1 / (np.arange(500) + 10)
    shares /= shares.sum()
    found = np.bincount(labels, minlength=500) / 40_000
    spread = 5 * np.sqrt(shares / 40_000)
    assert (abs(found - shares) <= spread).all()


def test_examples_are_the_same_every_time():
    digest = hashlib.sha256()
    for split in small().splits:
        digest.update(split.inputs.tobytes() + split.labels.tobytes())
    again = hashlib.sha256()
    for split in small().splits:
        again.update(split.inputs.tobytes() + split.labels.tobytes())
    assert digest.digest() == again.digest()
    train, test = small(n_test=5000).splits
    assert (train.labels != test.labels).any()


@pytest.mark.parametrize(
    "name, value",
    [
        ("n_classes", 1),
        ("n_inputs", 0),
        ("fan_in", 0),
        ("fan_in", 61),
        ("n_train", 0),
        ("n_test", 0),
        ("noise", 1.0),
        ("head", 0.0),
    ],
)
def test_other_numbers_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}`.*{name}={value}"):
        small(**{name: value})
