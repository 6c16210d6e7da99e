import io

import numpy as np
import PIL.Image
import pytest
import records
import tensorflow as tf

from rigl_tf import cli
from rigl_tf import datasets
from rigl_tf.datasets import fake
from rigl_tf.datasets import tfds_source


def toy(n=10, labels=None, shape=(1,), test=None):
    x = np.arange(n, dtype=np.float32)[:, None]
    y = np.zeros(n, np.int32) if labels is None else np.asarray(labels)
    split = datasets.Split(x, y)
    splits = (split, test or split)
    return datasets.ArrayDataset("toy", shape, 2, lambda: splits)


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
    batches = [
        (x[:, 0][w > 0].tolist(), w.tolist())
        for x, _, w in toy().test(4).as_numpy_iterator()
    ]
    assert batches == [
        ([0, 1, 2, 3], [1, 1, 1, 1]),
        ([4, 5, 6, 7], [1, 1, 1, 1]),
        ([8, 9], [1, 1, 0, 0]),
    ]


def replica_batches(make, n_pipelines, n_replicas, n):
    """Join what the replicas of all pipelines get, in n global batches."""
    pipelines = [
        make(tf.distribute.InputContext(n_pipelines, i, n_replicas))
        .take(n * n_replicas // n_pipelines)
        .as_numpy_iterator()
        for i in range(n_pipelines)
    ]
    joined = []
    for _ in range(n):
        parts = [
            next(pipeline)
            for pipeline in pipelines
            for _ in range(n_replicas // n_pipelines)
        ]
        joined.append([np.concatenate(field) for field in zip(*parts)])
    return joined


@pytest.mark.parametrize("n_pipelines, n_replicas", [(1, 2), (2, 2), (2, 4)])
def test_replicas_share_the_batches_of_one(n_pipelines, n_replicas):
    data = toy(n=21)
    for make in (
        lambda context: data.train(4, 0, 3, context),
        lambda context: data.test(8, context),
    ):
        n = 7 if make(tf.distribute.InputContext()).cardinality() < 0 else 3
        whole = replica_batches(make, 1, 1, n)
        parts = replica_batches(make, n_pipelines, n_replicas, n)
        for a, b in zip(whole, parts):
            for first, second in zip(a, b):
                np.testing.assert_array_equal(first, second)


def test_replicas_share_the_fake_batch_of_one():
    data = fake.FakeDataset(toy(n=21))
    for make in (
        lambda context: data.train(4, 0, 3, context),
        lambda context: data.test(8, context),
    ):
        (whole,) = replica_batches(make, 1, 1, 1)
        (parts,) = replica_batches(make, 2, 4, 1)
        assert len(np.unique(whole[0])) == whole[0].size
        for first, second in zip(whole, parts):
            np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_replicas_share_the_images_of_one(tfds_dir):
    data = datasets.imagenet2012(tfds_dir, size=32)
    for make in (
        lambda context: data.train(8, 0, 1, context),
        lambda context: data.test(8, context),
    ):
        whole = replica_batches(make, 1, 1, 2)
        for a, b in zip(whole, replica_batches(make, 2, 4, 2)):
            for first, second in zip(a, b):
                np.testing.assert_array_equal(first, second)


def test_batches_that_replicas_cannot_share_are_refused():
    context = tf.distribute.InputContext(1, 0, 3)
    with pytest.raises(ValueError, match="3"):
        toy().train(4, 0, context=context)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"labels": [0] * 9 + [2]}, r"training.*\[0, 2\).*0 to 2"),
        ({"labels": [0] * 9 + [-1]}, r"\[0, 2\).*-1 to 0"),
        ({"n": 0}, "at least one example"),
        (
            {"test": datasets.Split(np.zeros((2, 1)), np.zeros(3, int))},
            "test split.*one label per example",
        ),
        ({"shape": (5,)}, r"inputs of shape \(5,\).*\(1,\)"),
    ],
)
def test_bad_arrays_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        toy(**fields).train(1, 0)


@pytest.mark.parametrize(
    "batch_size, message", [(0, "at least 1.*0"), (11, "at most 10.*11")]
)
def test_bad_batch_sizes_are_refused(batch_size, message):
    with pytest.raises(ValueError, match=message):
        toy().train(batch_size, 0)


def test_digits_are_split_by_class():
    data = datasets.digits()
    train, test = data.splits
    assert train.inputs.shape == (1437, 8, 8, 1)
    assert test.inputs.shape == (360, 8, 8, 1)
    assert train.inputs.min() == 0 and train.inputs.max() == 1
    counts = np.bincount(test.labels)
    assert counts.min() >= 35 and counts.max() <= 37
    # The same split on every machine.
    assert test.labels[:10].tolist() == FIRST_DIGITS


FIRST_DIGITS = [7, 6, 3, 7, 7, 3, 2, 8, 9, 3]


@pytest.mark.slow
def test_mnist_is_the_real_one(tfds_dir):
    data = datasets.mnist(tfds_dir)
    train, test = data.splits
    assert train.inputs.shape == (60000, 28, 28, 1)
    assert test.inputs.shape == (10000, 28, 28, 1)
    assert data.input_shape == (28, 28, 1) and data.n_train == 60000
    # Known facts: the classes' sizes, and the mean pixel 33.3184 of 255.
    sizes = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train.labels).tolist() == sizes
    assert train.inputs.mean() == pytest.approx(33.3184, abs=1e-3)
    (batch,) = data.test(3).take(1)
    expected = test.inputs[:3].astype(np.float32) / 255
    np.testing.assert_array_equal(batch[0], expected)


def test_the_variable_is_read_each_time(tfds_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        datasets.mnist().check(1)
    monkeypatch.setenv("TFDS_DATA_DIR", tfds_dir)
    assert datasets.mnist().n_train == 60000


def test_missing_mnist_names_the_cure(tmp_path):
    with pytest.raises(FileNotFoundError, match="rigl_tf prepare mnist"):
        datasets.mnist(str(tmp_path)).check(1)


@pytest.fixture(scope="module")
def cifar10(tfds_dir):
    return datasets.cifar10(tfds_dir, augment=False)


def test_what_several_runs_read_is_read_once(tfds_dir):
    first, second = datasets.mnist(tfds_dir), datasets.mnist(tfds_dir)
    inputs = first.splits[0].inputs
    assert second.splits[0].inputs is inputs
    with pytest.raises(ValueError, match="read-only"):
        inputs[0] = 1


@pytest.mark.slow
def test_cifar10_is_the_real_one(cifar10):
    train, test = cifar10.splits
    assert train.inputs.shape == (50000, 32, 32, 3)
    assert test.inputs.shape == (10000, 32, 32, 3)
    assert np.bincount(train.labels).tolist() == [5000] * 10


@pytest.mark.slow
def test_each_image_is_standardised(cifar10):
    images = cifar10.splits[1].inputs[:4].astype("float64")
    mean = images.mean((1, 2, 3), keepdims=True)
    deviation = images.std((1, 2, 3), keepdims=True)
    (batch,) = cifar10.test(4).take(1)
    expected = (images - mean) / deviation
    np.testing.assert_allclose(batch[0], expected, atol=1e-5)
    (batch,) = cifar10.train(4, 0).take(1)
    means = tf.reduce_mean(batch[0], (1, 2, 3))
    np.testing.assert_allclose(means, np.zeros(4), atol=1e-5)
    deviations = tf.math.reduce_std(batch[0], (1, 2, 3))
    np.testing.assert_allclose(deviations, np.ones(4), atol=1e-5)


def test_images_are_standardised_as_tensorflow_does_it(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3))
    images[1] = 7  # a uniform image stays finite
    split = datasets.Split(images.astype(np.uint8), np.zeros(4, np.int32))
    monkeypatch.setattr(tfds_source, "image_splits", lambda *_: (split, split))
    (batch,) = datasets.cifar10().test(4).take(1)
    expected = tf.image.per_image_standardization(images.astype(np.float32))
    np.testing.assert_allclose(batch[0], expected, atol=1e-5)
    assert np.isfinite(batch[0]).all()


def test_smaller_cifar_images_are_means_of_squares(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3))
    split = datasets.Split(images.astype(np.uint8), np.zeros(3, np.int32))
    monkeypatch.setattr(tfds_source, "image_splits", lambda *_: (split, split))
    for size in (16, 8):
        small = datasets.cifar10(size=size)
        expected = tf.image.resize(images, (size, size), method="area")
        assert small.input_shape == (size, size, 3)
        np.testing.assert_allclose(small.splits[0].inputs, expected, atol=1e-3)
        (batch,) = small.train(3, 0).take(1)
        assert batch[0].shape == (3, size, size, 3)


@pytest.mark.parametrize("size", [0, 12, 64])
def test_cifar_images_need_a_size_that_divides_32(size):
    with pytest.raises(ValueError, match="`size` must .*Received"):
        datasets.cifar100(size=size)


def test_missing_cifar_names_the_cure(tmp_path):
    with pytest.raises(FileNotFoundError, match="rigl_tf prepare cifar100"):
        datasets.cifar100(str(tmp_path)).check(1)
    with pytest.raises(FileNotFoundError, match="rigl_tf prepare imagenet2012"):
        datasets.imagenet2012(str(tmp_path)).check(1)
    assert datasets.imagenet2012().input_shape == (224, 224, 3)


@pytest.mark.slow
def test_imagenet_goes_on_where_it_stopped(tfds_dir):
    data = datasets.imagenet2012(tfds_dir, size=32)
    # An epoch of whole batches, and the beginning of the next.
    size = data.n_train // 3
    whole = list(data.train(size, 5).take(5))
    for n_skip in (1, 4):
        (resumed,) = data.train(size, 5, n_skip).take(1)
        for a, b in zip(resumed, whole[n_skip]):
            np.testing.assert_array_equal(a, b)
    assert whole[0][0].shape == (size, 32, 32, 3)
    # An epoch holds each example once: its labels are those of the records.
    if data.n_train % 3 <= 2:
        labels = np.bincount(np.concatenate([y for _, y in whole[:3]]))
        again = np.concatenate([y for _, y in data.train(size, 6).take(3)])
        assert np.abs(labels - np.bincount(again)).sum() <= 4
    assert not np.array_equal(whole[0][1], whole[3][1])
    (other,) = data.train(size, 6).take(1)
    assert not np.array_equal(other[1], whole[0][1])
    # Standardised: mean about 0, deviation about 1.
    assert abs(float(tf.reduce_mean(whole[0][0]))) < 0.3
    assert 0.7 < float(tf.math.reduce_std(whole[0][0])) < 1.5


def test_imagenet_is_tested_whole(tfds_dir):
    data = datasets.imagenet2012(tfds_dir, size=32)
    n_test = data._builder.info.splits["validation"].num_examples
    weights = np.concatenate([w for _, _, w in data.test(500)])
    assert weights.tolist() == [1] * n_test + [0] * (-n_test % 500)
    with pytest.raises(ValueError, match="at most"):
        data.check(10**9)


def test_prepared_data_are_counted(tfds_dir, capsys):
    assert cli.main(["prepare", "mnist", f"--data_dir={tfds_dir}"]) == 0
    out = capsys.readouterr().out
    assert "train 60,000" in out and "test 10,000" in out


def test_data_that_cannot_be_prepared_say_why(tmp_path, capsys, monkeypatch):
    assert cli.main(["prepare", "minst", f"--data_dir={tmp_path}"]) == 2
    assert "knows no data set 'minst'" in capsys.readouterr().err
    # Its archives must be put in place by hand; nothing is downloaded.
    words = ["prepare", "imagenet2012", f"--data_dir={tmp_path}"]
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "could not be prepared" in error and "manual" in error.lower()
    assert len(error.splitlines()) == 1


def jpeg(mode="RGB", size=(40, 30)):
    """Return the bytes of a JPEG image."""
    rng = np.random.default_rng(0)
    image = PIL.Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8))
    stream = io.BytesIO()
    image.convert(mode).resize(size).save(stream, "JPEG")
    return stream.getvalue()


def image_set(path, images, **options):
    """Return a data set of JPEG images, labelled 0, 1, ..., on disk."""
    data = datasets.imagenet2012(str(path), 32, **options)
    examples = [(image, label) for label, image in enumerate(images)]
    data._builder = records.builder(path / "records", examples, 99)
    return data


@pytest.mark.parametrize(
    "image",
    [jpeg("L"), jpeg("CMYK"), jpeg(size=(8, 5)), jpeg(size=(300, 9))],
    ids=["grey", "cmyk", "small", "flat"],
)
def test_odd_images_are_read(image, tmp_path):
    data = image_set(tmp_path, [image] * 2)
    for batches in (data.train(2, 0), data.test(2)):
        ((x, *_),) = batches.take(1)
        assert x.shape == (2, 32, 32, 3)
        assert np.isfinite(x).all()


def test_empty_splits_are_refused(tmp_path):
    data = image_set(tmp_path, [jpeg()])
    data.check(1)
    data._builder.info.splits["train"].num_examples = 0
    with pytest.raises(ValueError, match="'train' .* at least one"):
        data.check(1)


def test_damaged_images_end_training_or_are_passed_over(tmp_path, capfd):
    images = [jpeg()] * 9
    images[4] = b"\xff\xd8\xff" + b"no image" * 20
    data = image_set(tmp_path, images)
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(data.train(3, 0).take(3))
    whole = image_set(tmp_path, [jpeg()] * 9)
    order = np.concatenate([y for _, y in whole.train(3, 0).take(6)])
    data = image_set(tmp_path, images, on_damage="skip")
    found = np.concatenate([y for _, y in data.train(3, 0).take(6)])
    assert "passed over 1 damaged image(s)" in capfd.readouterr().err
    bad = np.flatnonzero(order == 4)
    assert len(bad) == 2  # two epochs
    expected = order.copy()
    for place in bad[::-1]:
        if place + 1 < len(order):
            expected[place] = expected[place + 1]
    np.testing.assert_array_equal(found[:-1], expected[:-1])
    # Resumed, the batches are the same (but where a gap was just before).
    later = np.concatenate([y for _, y in data.train(3, 0, 2).take(3)])
    np.testing.assert_array_equal(later, found[6:15])
