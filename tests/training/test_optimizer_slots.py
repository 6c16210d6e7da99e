import keras
import numpy as np
import optimizers
import pytest
import tiny

from rigl_tf.training import optimizer_slots


@pytest.mark.parametrize("name", optimizers.ELEMENTWISE)
def test_slots_and_their_initial_values_are_found(name):
    build, n_slots, initial = optimizers.ELEMENTWISE[name]
    model, optimizer = tiny.mlp(), build()
    optimizer.build(model.trainable_variables)
    kernels = [layer.kernel for layer in model.layers]
    found = optimizer_slots.slots_of(optimizer, kernels)
    for kernel, kernel_slots in zip(kernels, found):
        assert len(kernel_slots) == n_slots
        for slot in kernel_slots:
            assert slot.variable.shape == kernel.shape
            assert slot.initial == pytest.approx(initial)
            np.testing.assert_allclose(slot.variable.numpy(), initial)


def test_ftrl_has_one_accumulator_and_one_linear_slot():
    model, optimizer = tiny.mlp(), keras.optimizers.Ftrl(0.1)
    optimizer.build(model.trainable_variables)
    (found,) = optimizer_slots.slots_of(optimizer, [model.layers[0].kernel])
    assert sorted(slot.initial for slot in found) == pytest.approx([0, 0.1])


def test_initial_values_are_known_after_training_too():
    model = tiny.mlp()
    model.compile(keras.optimizers.Adagrad(0.1), tiny.LOSS)
    model.fit(*tiny.arrays(), verbose=0)
    ((slot,),) = optimizer_slots.slots_of(
        model.optimizer, [model.layers[0].kernel]
    )
    assert slot.initial == pytest.approx(0.1)
    assert slot.variable.numpy().max() > 0.1


def test_factored_state_is_refused():
    model, optimizer = tiny.mlp(), keras.optimizers.Adafactor(0.1)
    optimizer.build(model.trainable_variables)
    with pytest.raises(ValueError, match="slots shaped like.*Adafactor"):
        optimizer_slots.slots_of(optimizer, [model.layers[0].kernel])


def test_optimizers_of_no_variable_have_no_slots():
    optimizer = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            keras.optimizers.Adagrad(0.1), {".*": keras.optimizers.Adam(0.1)}
        )
    )
    model = tiny.mlp()
    optimizer.build(model.trainable_variables)
    (part,) = optimizer_slots.elementary(optimizer)
    assert isinstance(part, keras.optimizers.Adam)
    (found,) = optimizer_slots.slots_of(optimizer, [model.layers[0].kernel])
    assert len(found) == 2
