import keras
import numpy as np
import pytest

import rigl_tf
from rigl_tf import models
from rigl_tf.export import packed


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_a_packed_model_is_the_model(dtype, tmp_path):
    keras.config.set_dtype_policy(dtype)
    try:
        model = rigl_tf.sparsify(models.lenet5((28, 28, 1), 10), 0.9)
        plain, other = rigl_tf.strip(model), models.lenet5((28, 28, 1), 10)
        packed.save(tmp_path / "w.npz", plain)
        packed.load(tmp_path / "w.npz", other)
    finally:
        keras.config.set_dtype_policy("float32")
    for a, b in zip(plain.weights, other.weights):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_the_file_is_about_as_small_as_the_bit_mask_rule(tmp_path):
    model = rigl_tf.sparsify(models.mlp((28, 28, 1), 10), 0.98)
    packed.save(tmp_path / "w.npz", rigl_tf.strip(model))
    n_bytes = rigl_tf.count(model).bytes
    size = (tmp_path / "w.npz").stat().st_size
    assert n_bytes < size < n_bytes + 4000  # names and shapes


def test_seed_states_are_kept(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    )
    packed.save(tmp_path / "w.npz", model)
    packed.load(tmp_path / "w.npz", model)


def test_other_models_are_refused(tmp_path):
    packed.save(tmp_path / "w.npz", models.mlp((4,), 2, hidden=(3,)))
    with pytest.raises(ValueError, match="a file without the variable 'fc3/b"):
        packed.load(tmp_path / "w.npz", models.mlp((4,), 2, hidden=(3, 3)))
    with pytest.raises(ValueError, match="array:fc1/kernel' as .*has float32"):
        packed.load(tmp_path / "w.npz", models.mlp((5,), 2, hidden=(3,)))
    packed.save(tmp_path / "w.npz", models.mlp((4,), 2, hidden=(3, 3)))
    with pytest.raises(ValueError, match="a model without the variable 'fc3/b"):
        packed.load(tmp_path / "w.npz", models.mlp((4,), 2, hidden=(3,)))


def test_damaged_files_change_nothing(tmp_path):
    path, model = tmp_path / "w.npz", models.mlp((4,), 2, hidden=(16, 4))
    packed.save(path, rigl_tf.strip(rigl_tf.sparsify(model, 0.9)))
    before = [w.numpy() for w in model.weights]
    other = models.mlp((4,), 2, hidden=(4, 16))
    with pytest.raises(ValueError, match="of shape"):
        packed.load(path, other)  # (16, 4) is not (4, 16)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match="is damaged"):
        packed.load(path, model)
    for a, b in zip(before, model.weights):
        np.testing.assert_array_equal(a, b.numpy())
