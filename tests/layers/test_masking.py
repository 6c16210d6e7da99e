import keras
import numpy as np
import pytest
import tiny

import rigl_tf
from rigl_tf import updaters
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import model_paths


def ones(model):
    return {
        item.path: int(item.mask.numpy().sum())
        for item in rigl_tf.masked_kernels(model)
    }


def test_weights_are_copied_and_the_model_given_is_left_alone():
    model = tiny.nested()
    before = [w.copy() for w in model.get_weights()]
    masked = rigl_tf.sparsify(model, 0.6)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    for item in rigl_tf.masked_kernels(masked):
        original = model_paths.variables_by_path(model)[item.path].numpy()
        np.testing.assert_array_equal(
            item.kernel.numpy(), original * item.mask.numpy()
        )


def test_counts_follow_the_distribution_exactly():
    masked = rigl_tf.sparsify(tiny.mlp(), 0.9, "uniform")
    assert ones(masked) == {"fc1/kernel": 5, "fc2/kernel": 4}


@pytest.mark.parametrize("build", [tiny.mlp, tiny.nested, tiny.convolutional])
def test_sparsity_zero_predicts_the_same_bits(build):
    model = build()
    x = np.random.default_rng(0).normal(size=(3, *model.input_shape[1:]))
    np.testing.assert_array_equal(rigl_tf.sparsify(model, 0.0)(x), model(x))


@pytest.mark.parametrize("build", [tiny.mlp, tiny.nested, tiny.convolutional])
def test_strip_gives_a_plain_model_with_the_same_output(build, tmp_path):
    masked = rigl_tf.sparsify(build(), 0.5)
    plain = rigl_tf.strip(masked)
    x = np.random.default_rng(0).normal(size=(3, *plain.input_shape[1:]))
    np.testing.assert_array_equal(plain(x), masked(x))
    assert "rigl_tf" not in plain.to_json()
    plain.save(tmp_path / "plain.keras")
    loaded = keras.models.load_model(tmp_path / "plain.keras")
    np.testing.assert_array_equal(loaded(x), masked(x))


def test_strip_zeroes_whatever_moved_off_the_mask():
    masked = rigl_tf.sparsify(tiny.mlp(), 0.5, "uniform")
    for item in rigl_tf.masked_kernels(masked):
        item.kernel.assign(np.ones(item.kernel.shape))
    plain = rigl_tf.strip(masked)
    assert [np.count_nonzero(w) for w in plain.get_weights()[::2]] == [24, 16]


def test_shared_layers_have_one_mask():
    masked = rigl_tf.sparsify(tiny.nested(), 0.5)
    paths = [item.path for item in rigl_tf.masked_kernels(masked)]
    assert paths == [
        "shared/kernel",
        "inner/dense/kernel",
        "inner/dense_1/kernel",
        "dense/kernel",
    ]


def test_custom_sparsities_and_dense_layers():
    masked = rigl_tf.sparsify(
        tiny.nested(),
        0.5,
        "uniform",
        custom={"inner/.*": 0.2},
        dense_layers=["shared/kernel"],
    )
    assert ones(masked) == {
        "inner/dense/kernel": 20,
        "inner/dense_1/kernel": 12,
        "dense/kernel": 3,
    }


def test_dense_first_masks_keep_weights_and_targets():
    model = tiny.mlp()
    masked = rigl_tf.sparsify(model, 0.9, "uniform", first_mask="dense")
    assert ones(masked) == {"fc1/kernel": 48, "fc2/kernel": 32}
    for item in rigl_tf.masked_kernels(masked):
        assert item.sparsity == 0.9
    x = np.ones((2, 6))
    np.testing.assert_array_equal(masked(x), model(x))


def test_masks_are_the_same_in_every_process():
    masked = rigl_tf.sparsify(tiny.mlp(), 0.9, "uniform", seed=3)
    found = {
        item.path: np.flatnonzero(item.mask.numpy()).tolist()
        for item in rigl_tf.masked_kernels(masked)
    }
    assert found == EXPECTED


EXPECTED = {
    "fc1/kernel": [7, 24, 32, 43, 45],
    "fc2/kernel": [4, 14, 24, 30],
}


def test_set_mask_checks_the_shape():
    (item, _) = rigl_tf.masked_kernels(rigl_tf.sparsify(tiny.mlp(), 0.5))
    with pytest.raises(ValueError, match=r"shape \(6, 8\).*\(3, 3\)"):
        kernel_masks.set_mask(item, np.ones((3, 3)))


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (lambda: (object(), 0.5), TypeError, "must be a Keras 3 model"),
        (
            lambda: (keras.Sequential([keras.layers.Dense(2)]), 0.5),
            ValueError,
            "must be built",
        ),
        (
            lambda: (
                keras.Sequential([keras.Input((2,)), keras.layers.ReLU()]),
                0.5,
            ),
            ValueError,
            "no kernel to mask",
        ),
        (lambda: (tiny.mlp(), 1.0), ValueError, r"\[0, 1\).*1.0"),
        (lambda: (tiny.mlp(), -0.1), ValueError, r"\[0, 1\).*-0.1"),
        (lambda: (tiny.mlp(), 0.5, "ekr"), ValueError, "must be one of.*ekr"),
    ],
)
def test_bad_input_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        rigl_tf.sparsify(*arguments())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dense_layers": ["fc3.*"]}, "`dense_layers` names no kernel"),
        ({"custom": {"fc3": 0.1}}, "`custom` names no kernel"),
        ({"first_mask": "zeros"}, "one of random, dense.*zeros"),
        ({"dense_layers": [".*"]}, "at least one kernel"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        rigl_tf.sparsify(tiny.mlp(), 0.5, **options)


def test_a_plain_model_has_no_masked_kernels():
    with pytest.raises(ValueError, match="call `rigl_tf.sparsify` first"):
        rigl_tf.masked_kernels(tiny.mlp())


def test_half_a_layer_can_stay_dense():
    model = keras.Sequential([keras.Input((4, 2)), keras.layers.GRU(3)])
    masked = rigl_tf.sparsify(model, 0.5, dense_layers=["gru/cell/kernel"])
    (item,) = rigl_tf.masked_kernels(masked)
    assert item.path == "gru/cell/recurrent_kernel"


def test_models_with_bare_operations_are_masked_saved_and_stripped(tmp_path):
    inputs = keras.Input((6,))
    hidden = keras.layers.Dense(6)(inputs)
    outputs = keras.layers.Dense(2)(keras.ops.relu(inputs + hidden * 2))
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).normal(size=(3, 6))
    np.testing.assert_array_equal(rigl_tf.sparsify(model, 0.0)(x), model(x))
    masked = rigl_tf.sparsify(model, 0.5)
    np.testing.assert_array_equal(rigl_tf.strip(masked)(x), masked(x))
    masked.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded(x), masked(x))


def test_frozen_masked_layers_keep_their_masks(tmp_path):
    model = tiny.masked_mlp(updaters.Static())
    model.layers[0].trainable = False
    assert len(rigl_tf.masked_kernels(model)) == 2
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert len(rigl_tf.masked_kernels(loaded)) == 2
    x = np.ones((2, 6))
    np.testing.assert_array_equal(rigl_tf.strip(loaded)(x), model(x))


def test_masked_models_are_not_masked_again():
    with pytest.raises(ValueError, match="must not be masked already"):
        rigl_tf.sparsify(rigl_tf.sparsify(tiny.mlp(), 0.5), 0.8)


def test_time_step_masks_pass_through_without_a_warning(recwarn):
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            keras.layers.Embedding(7, 3, mask_zero=True),
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.LSTM(2),
        ]
    )
    x = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]])
    np.testing.assert_array_equal(rigl_tf.sparsify(model, 0.0)(x), model(x))
    assert not [w for w in recwarn if "support masking" in str(w.message)]
