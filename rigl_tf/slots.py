"""Optimizer slots of a kernel, found by structure.

A slot is an optimizer variable that mirrors one model variable: momentum,
second moments, gradient accumulators, averages of weights. Keras keeps each
kind in a list that runs parallel to the trainable variables, so slots of any
optimizer can be found without knowing it.
"""

import dataclasses
import math

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True, eq=False)
class Slot:
    """One slot of one model variable.

    Attributes:
        name: name of the optimizer's list, e.g. "momentums".
        variable: the optimizer's variable, shaped like the model's.
        initial: its value before the first step (0; 0.1 for the accumulators
            of Adagrad and Ftrl).
    """

    name: str
    variable: keras.Variable
    initial: float

    def initial_values(self):
        """Return a tensor like the slot, filled with its initial value."""
        value = self.variable.value
        return tf.fill(value.shape, tf.cast(self.initial, value.dtype))


# Optimizers that move each weight by its own gradient and slots alone: an
# inactive weight with zero gradient and initial slots stays where it is.
_ELEMENTWISE = (
    keras.optimizers.SGD,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Nadam,
    keras.optimizers.Adamax,
    keras.optimizers.RMSprop,
    keras.optimizers.Adagrad,
    keras.optimizers.Adadelta,
    keras.optimizers.Lion,
    keras.optimizers.Ftrl,
)


def innermost(optimizer):
    """Return what a LossScaleOptimizer wraps, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def is_elementwise(optimizer):
    """Say whether masked gradients alone keep inactive weights at zero."""
    return type(optimizer) in _ELEMENTWISE


def slots_of(optimizer, variables):
    """Find the slots of trainable variables.

    Args:
        optimizer: built Keras optimizer.
        variables: some of the variables that it was built with.

    Returns:
        list with one list of `Slot` per variable.

    Raises:
        ValueError: the optimizer keeps state that mirrors no variable, such as
            the factored moments of Adafactor: masking it is impossible.
    """
    optimizer = innermost(optimizer)
    groups = _groups(optimizer)
    _require_all_mapped(optimizer, groups)
    initial = _initial_values(optimizer, groups)
    indices = [optimizer._get_variable_index(v) for v in variables]
    return [
        [
            Slot(name, group[index], initial[name][index])
            for name, group in groups.items()
            if group[index] is not None
        ]
        for index in indices
    ]


def _groups(optimizer):
    """Map the names of the optimizer's lists to those that hold slots."""
    trainable = optimizer._trainable_variables
    return {
        name: list(group)
        for name, group in vars(optimizer).items()
        if name not in ("_trainable_variables", "_variables")
        and isinstance(group, (list, tuple))
        and len(group) == len(trainable)
        and all(_mirrors(slot, v) for slot, v in zip(group, trainable))
    }


def _mirrors(slot, variable):
    if slot is None:
        return True
    return isinstance(slot, keras.Variable) and slot.shape == variable.shape


def _require_all_mapped(optimizer, groups):
    mapped = {id(slot) for group in groups.values() for slot in group}
    for variable in optimizer.variables:
        if id(variable) not in mapped and math.prod(variable.shape) > 1:
            raise ValueError(
                "`optimizer` must keep its state in slots shaped like the "
                "kernels, so that the state of a dropped connection can be "
                f"reset. Received: {type(optimizer).__name__}, whose variable "
                f"{variable.path!r} of shape {tuple(variable.shape)} mirrors "
                "none; use e.g. SGD, Adam, AdamW or RMSprop"
            )


def _initial_values(optimizer, groups):
    """Read the initial slot values off a twin that never stepped."""
    twin = type(optimizer).from_config(optimizer.get_config())
    shapes = [(1,) * len(v.shape) for v in optimizer._trainable_variables]
    twin.build([keras.Variable(keras.ops.zeros(shape)) for shape in shapes])
    return {
        name: [
            None if slot is None else float(keras.ops.max(slot))
            for slot in vars(twin)[name]
        ]
        for name in groups
    }
