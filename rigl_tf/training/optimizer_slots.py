"""Find the optimizer slots of each kernel by structure.

A slot is an optimizer variable that mirrors one model variable: momentum,
second moments, gradient accumulators, averages of weights. Keras keeps each
kind in a list parallel to the trainable variables, so the slots of any
optimizer can be found without knowing the optimizer.
"""

from collections.abc import Sequence
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
            of Adagrad and Ftrl), or None if it starts as a copy of the weight
            (the iterate of ScheduleFreeAdamW).
    """

    name: str
    variable: keras.Variable
    initial: float | None

    def initial_values(self, weights: tf.Tensor) -> tf.Tensor:
        """Return a tensor of initial values, for weights that are reset."""
        value = self.variable.value
        if self.initial is None:
            return tf.cast(weights, value.dtype)
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


def elementary(
    optimizer: keras.optimizers.Optimizer,
) -> list[keras.optimizers.Optimizer]:
    """List the optimizers that keep the slots.

    Those that a LossScaleOptimizer or MultiOptimizer wraps, or the optimizer
    itself.
    """
    if hasattr(optimizer, "inner_optimizer"):
        return elementary(optimizer.inner_optimizer)
    if hasattr(optimizer, "optimizers"):
        return [part for part in optimizer.optimizers if part.built]
    return [optimizer]


def are_elementwise(optimizers: Sequence[keras.optimizers.Optimizer]) -> bool:
    """Return whether masked gradients alone keep inactive weights at zero."""
    return all(type(optimizer) in _ELEMENTWISE for optimizer in optimizers)


def slots_of(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
) -> list[list[Slot]]:
    """Find the slots of trainable variables.

    Args:
        optimizer: built Keras optimizer.
        variables: some of the variables that it was built with.

    Returns:
        list with one list of `Slot` per variable.

    Raises:
        ValueError: the optimizer keeps state that mirrors no variable, such as
            the factored moments of Adafactor: masking it is impossible; or it
            was built for other variables.
    """
    by_id = {}
    for part in elementary(optimizer):
        groups = _groups(part)
        _require_all_mapped(part, groups)
        initial = _initial_values(part, groups)
        for index, variable in enumerate(part._trainable_variables):
            by_id[id(variable)] = [
                Slot(name, group[index], initial[name][index])
                for name, group in groups.items()
                if group[index] is not None
            ]
    unknown = [v.path for v in variables if id(v) not in by_id]
    if unknown:
        raise ValueError(
            "`optimizer` must be new, or built for the variables that are "
            "trained now: after freezing or unfreezing layers, or for another "
            "model, make a new one. Received: a "
            f"{type(optimizer).__name__} that does not know {unknown[0]!r}"
        )
    return [by_id[id(variable)] for variable in variables]


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
    """Return initial slot values, read from twins that made no step.

    A slot that differs between twins for weights of 0 and of 1 begins as the
    weight.
    """
    zeros, ones = (_twin(optimizer, fill) for fill in (0.0, 1.0))
    return {
        name: [
            None if slot is None else _initial_value(slot, other)
            for slot, other in zip(vars(zeros)[name], vars(ones)[name])
        ]
        for name in groups
    }


def _initial_value(slot, other):
    value = float(keras.ops.max(slot))
    return value if value == float(keras.ops.max(other)) else None


def _twin(optimizer, fill):
    """Build an optimizer of the same kind for weights of one value."""
    twin = type(optimizer).from_config(optimizer.get_config())
    shapes = [(1,) * len(v.shape) for v in optimizer._trainable_variables]
    twin.build([keras.Variable(keras.ops.full(s, fill)) for s in shapes])
    return twin
