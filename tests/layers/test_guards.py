"""Masked layers stand for those inside; what would lose masks is refused."""

import keras
import numpy as np
import pytest
import tiny

import rigl_tf


def masked(**options):
    return rigl_tf.sparsify(tiny.mlp(), 0.5, **options)


def sparsities(model):
    return [
        1 - float(item.mask.numpy().mean())
        for item in rigl_tf.masked_kernels(model)
    ]


def test_clones_are_as_sparse():
    model = masked()
    clone = keras.models.clone_model(model)
    assert sparsities(clone) == sparsities(model)
    for item in rigl_tf.masked_kernels(clone):
        assert item.mask.numpy().any()
        assert not tiny.off_mask(item, item.kernel).any()
        assert item.kernel.numpy().any()


def test_clones_of_dense_masks_stay_dense():
    clone = keras.models.clone_model(masked(first_mask="dense"))
    assert sparsities(clone) == [0.0, 0.0]


def test_saved_masks_come_back_as_they_were(tmp_path):
    model = masked(seed=5)
    model.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    for a, b in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_attributes_are_those_of_the_layer_inside():
    layer = masked().get_layer("fc1")
    assert layer.units == 8
    assert layer.kernel is layer.layer.kernel
    assert layer.bias is layer.layer.bias
    with pytest.raises(AttributeError, match="'Dense' object has no attribute"):
        layer.unit
    assert not hasattr(layer, "_private")


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.quantize("int8"),
        lambda model: model.get_layer("fc1").quantize("int8"),
        lambda model: model.get_layer("fc1").enable_lora(2),
        lambda model: model.get_layer("fc1").layer.enable_lora(2),
    ],
)
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_replacing_a_masked_kernel_is_refused(change):
    model = masked()
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises(ValueError, match=r"call it on `rigl_tf.strip"):
        change(model)
    for a, b in zip(model.get_weights(), before):
        np.testing.assert_array_equal(a, b)


def test_stripped_models_can_be_changed():
    rigl_tf.strip(masked()).get_layer("fc1").enable_lora(2)


def dense_model(use_bias):
    layer = keras.layers.Dense(6, use_bias=use_bias, name="only")
    return keras.Sequential([keras.Input((6,)), layer])


@pytest.mark.parametrize("use_bias", [True, False])
def test_dense_weights_name_their_way_in(use_bias, tmp_path):
    dense = dense_model(use_bias)
    dense.save_weights(tmp_path / "dense.weights.h5")
    model = rigl_tf.sparsify(dense, 0.5)
    before = [w.copy() for w in model.get_weights()]
    cure = 'first_mask="magnitude"'
    with pytest.raises(ValueError, match=cure):
        model.load_weights(tmp_path / "dense.weights.h5")
    with pytest.raises(ValueError, match=cure):
        model.set_weights(dense.get_weights())
    for a, b in zip(model.get_weights(), before):
        np.testing.assert_array_equal(a, b)


def test_weights_are_no_masks():
    # As many arrays, of the same shape: a kernel in the place of its mask.
    model = rigl_tf.sparsify(dense_model(use_bias=False), 0.5)
    layer = model.get_layer("only")
    with pytest.raises(ValueError, match="saved with masks"):
        layer.load_own_variables({"0": layer.kernel.numpy() + 0.5})
    layer.load_own_variables({"0": np.ones((6, 6))})


def test_own_weights_are_taken(tmp_path):
    model = masked()
    model.save_weights(tmp_path / "a.weights.h5")
    other = masked(seed=7)
    other.load_weights(tmp_path / "a.weights.h5")
    for a, b in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)
    other.set_weights(masked().get_weights())


def test_many_masks_of_one_layer_come_back(tmp_path):
    # Their names "0", "1", "10", ... do not sort as their order.
    inner = keras.Sequential(
        [keras.Input((6,)), *(keras.layers.Dense(n) for n in range(3, 15))]
    )

    @keras.saving.register_keras_serializable(package="test_guards")
    class Outer(keras.Model):
        def __init__(self, inner, **kwargs):
            super().__init__(**kwargs)
            self.inner = inner

        def call(self, x):
            return self.inner(x)

        def get_config(self):
            inner = keras.saving.serialize_keras_object(self.inner)
            return {"name": self.name, "inner": inner}

        @classmethod
        def from_config(cls, config):
            inner = keras.saving.deserialize_keras_object(config["inner"])
            return cls(inner, name=config["name"])

    outer = Outer(inner)
    outer.build((None, 6))
    model = rigl_tf.sparsify(outer, 0.5)
    model.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    for a, b in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(a, b)


def attention():
    inputs = keras.Input((4, 8))
    layer = keras.layers.MultiHeadAttention(2, 4, name="mha")
    x = keras.layers.TimeDistributed(keras.layers.Dense(8), name="time")(
        layer(inputs, inputs)
    )
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.get_layer("mha").query_dense.enable_lora(2),
        lambda model: model.get_layer("mha").query_dense.quantize("int8"),
        lambda model: model.get_layer("time").layer.layer.enable_lora(2),
        lambda model: model.quantize("int8"),
    ],
)
@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_masked_layers_inside_others_are_guarded(change):
    model = rigl_tf.sparsify(attention(), 0.5)
    with pytest.raises(ValueError, match="would replace a masked kernel"):
        change(model)


def test_attributes_are_set_on_the_layer_inside():
    model = masked()
    layer = model.get_layer("fc1")
    layer.activation = keras.activations.tanh
    assert layer.layer.activation is keras.activations.tanh
    layer.note = "mine"
    assert "note" not in vars(layer.layer)
