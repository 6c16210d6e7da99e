import numpy as np
import pytest

from rigl_tf import datasets


def toy(n=10, labels=None, **kwargs):
    x = np.arange(n, dtype=np.float32)[:, None]
    y = np.zeros(n, np.int32) if labels is None else np.asarray(labels)
    fields = dict(
        name="toy",
        train_inputs=x,
        train_labels=y,
        test_inputs=x,
        test_labels=y,
        n_classes=2,
    )
    return datasets.ArrayDataset(**{**fields, **kwargs})


def take(dataset, n):
    return [x.numpy()[:, 0].tolist() for x, _ in dataset.take(n)]


def test_epochs_are_permutations_without_the_partial_batch():
    batches = take(toy().train(3, seed=0), 6)
    first, second = sum(batches[:3], []), sum(batches[3:], [])
    assert len(set(first)) == len(set(second)) == 9
    assert first != second


@pytest.mark.parametrize("n_skip", [0, 1, 3, 4, 7])
def test_skipping_continues_the_order(n_skip):
    whole = take(toy().train(3, seed=5), 10)
    assert (
        take(toy().train(3, seed=5, n_skip=n_skip), 3)
        == (whole[n_skip : n_skip + 3])
    )


def test_seeds_change_the_order():
    assert take(toy().train(3, 0), 3) != take(toy().train(3, 1), 3)


def test_the_test_split_is_whole_and_in_order():
    assert take(toy().test(4), 5) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"labels": [0] * 9 + [2]}, r"\[0, 2\).*0 to 2"),
        ({"labels": [0] * 9 + [-1]}, r"\[0, 2\).*-1 to 0"),
        ({"n": 0}, "at least one example"),
        ({"test_labels": np.zeros(3, int)}, "one label per example"),
        (
            {
                "test_inputs": np.zeros((2, 5)),
                "test_labels": np.zeros(2, int),
            },
            "one shape",
        ),
    ],
)
def test_bad_arrays_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        toy(**fields)


@pytest.mark.parametrize("batch_size", [0, 11])
def test_bad_batch_sizes_are_refused(batch_size):
    with pytest.raises(ValueError, match=rf"\[1, 10\].*{batch_size}"):
        toy().train(batch_size, 0)


def test_digits_are_split_by_class():
    data = datasets.digits()
    assert data.train_inputs.shape == (1437, 8, 8, 1)
    assert data.test_inputs.shape == (360, 8, 8, 1)
    assert data.train_inputs.min() == 0 and data.train_inputs.max() == 1
    counts = np.bincount(data.test_labels)
    assert counts.min() >= 35 and counts.max() <= 37
    # The same split on every machine.
    assert data.test_labels[:10].tolist() == FIRST_DIGITS


FIRST_DIGITS = [7, 6, 3, 7, 7, 3, 2, 8, 9, 3]


def test_mnist_is_the_real_one(tfds_dir):
    data = datasets.mnist(tfds_dir)
    assert data.train_inputs.shape == (60000, 28, 28, 1)
    assert data.test_inputs.shape == (10000, 28, 28, 1)
    assert data.input_shape == (28, 28, 1) and data.n_train == 60000
    # Known facts: the classes' sizes, and the mean pixel 33.3184 of 255.
    sizes = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(data.train_labels).tolist() == sizes
    mean = data.train_inputs.astype("float64").mean() * 255
    assert mean == pytest.approx(33.3184, abs=1e-3)


def test_missing_mnist_names_the_cure(tmp_path):
    with pytest.raises(FileNotFoundError, match="tfds build mnist"):
        datasets.mnist(str(tmp_path))
