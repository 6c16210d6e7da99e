"""Mask files: one bit per weight, and nothing lost."""

import numpy as np
import pytest
import tensorflow as tf

from rigl_tf.masks import storage

SHAPES = {
    "layers/0/kernel": (3, 5),
    "layers/1/kernel": (3, 3, 2, 8),
    "layers/1/inner/kernel": (7,),
    "layers/10/kernel": (1, 1),
    "layers/2/kernel": (13, 11, 3),
}


def random_masks():
    generator = np.random.default_rng(0)
    return {
        name: generator.random(shape) < 0.3 for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("as_text", [True, False])
def test_masks_survive_a_file(tmp_path, as_text):
    expected = random_masks()
    path = tmp_path / "masks.npz"
    path = str(path) if as_text else path

    storage.save(path, expected)
    loaded = storage.load(path)

    assert list(loaded) == list(expected)
    for name, mask in expected.items():
        assert loaded[name].dtype == bool
        np.testing.assert_array_equal(loaded[name], mask)


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_survive_a_file(tmp_path, value):
    path = tmp_path / "masks.npz"
    storage.save(path, {"kernel": np.full((3, 7), value)})
    assert storage.load(path)["kernel"].tolist() == [[value] * 7] * 3


@pytest.mark.parametrize(
    "convert",
    [
        lambda mask: mask.astype(np.float32),
        lambda mask: mask.astype(np.int64),
        lambda mask: tf.cast(mask, tf.float32),
        lambda mask: mask.tolist(),
    ],
    ids=["float32", "int64", "tensor", "list"],
)
def test_masks_of_zeros_and_ones_are_saved_as_booleans(tmp_path, convert):
    path = tmp_path / "masks.npz"
    mask = np.array([[True, False, True], [False, False, True]])
    storage.save(path, {"kernel": convert(mask)})
    np.testing.assert_array_equal(storage.load(path)["kernel"], mask)


def test_a_file_holds_about_a_bit_per_weight(tmp_path):
    path = tmp_path / "masks.npz"
    storage.save(path, {"a": np.ones((400, 250)), "b": np.ones((250, 80))})
    assert 120_000 / 8 <= path.stat().st_size <= 120_000 / 8 + 2_000


def test_bits_are_packed_first_to_last_into_named_entries(tmp_path):
    path = tmp_path / "masks.npz"
    mask = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 1]])
    storage.save(path, {"layers/0/kernel": mask})
    with np.load(path) as archive:
        assert archive["bits:layers/0/kernel"].tolist() == [
            0b10100000,
            0b10000000,
        ]
        assert archive["shape:layers/0/kernel"].tolist() == [3, 3]
        assert len(archive.files) == 2


def test_a_second_save_replaces_the_first(tmp_path):
    path = tmp_path / "masks.npz"
    storage.save(path, random_masks())
    storage.save(path, {"kernel": np.ones((2, 2))})
    assert list(storage.load(path)) == ["kernel"]


def test_any_name_is_allowed(tmp_path):
    saved = {"file": np.ones(3), "allow_pickle": np.zeros((2, 2))}
    storage.save(tmp_path / "masks.npz", saved)
    loaded = storage.load(tmp_path / "masks.npz")
    assert loaded.keys() == saved.keys()
    for name, mask in saved.items():
        np.testing.assert_array_equal(loaded[name], mask)


def test_other_archives_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="other.npz.*bits:<kernel>"):
        storage.load(tmp_path / "other.npz")
