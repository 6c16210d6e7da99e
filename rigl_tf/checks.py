"""Check arguments: errors name the rule and the value received."""

from collections.abc import Collection
import numbers
from typing import Any

# Errors that the user can fix; commands report them in one line.
MISTAKES = (ValueError, TypeError, OSError, ImportError)

# Integers must fit into 64 bits, as TensorFlow requires.
_BEYOND_INTEGERS = 2**63


def fraction(name: str, value: Any, include_one: bool = True) -> None:
    """Require a number in [0, 1], or in [0, 1) without `include_one`.

    Args:
        name: name of the argument, used in the error message.
        value: the value to check.
        include_one: whether 1 is allowed.

    Raises:
        TypeError: if `value` is not a number.
        ValueError: if `value` lies outside of the interval.
    """
    _require_type(name, value, numbers.Real, "a number")
    if not 0 <= value <= 1 or (value == 1 and not include_one):
        interval = "[0, 1]" if include_one else "[0, 1)"
        raise ValueError(
            f"`{name}` must lie in {interval}. Received: {name}={value}"
        )


def at_least(name: str, value: Any, low: float, integer: bool = False) -> None:
    """Require a finite number, or an integer, of at least `low`.

    See `fraction` for `name`, `value` and the errors.

    Args:
        name: name of the argument.
        value: the value to check.
        low: smallest allowed value.
        integer: whether `value` must be an integer, below 2^63.
    """
    kind = numbers.Integral if integer else numbers.Real
    _require_type(name, value, kind, "an integer" if integer else "a number")
    if not low <= value < float("inf"):
        raise ValueError(
            f"`{name}` must be at least {low}. Received: {name}={value}"
        )
    if integer and value >= _BEYOND_INTEGERS:
        raise ValueError(
            f"`{name}` must be below 2^63. Received: {name}={value}"
        )


def between(
    name: str, value: Any, low: float, high: float, integer: bool = False
) -> None:
    """Require a number, or an integer, from `low` to `high`.

    See `fraction` for `name`, `value` and the errors.

    Args:
        name: name of the argument.
        value: the value to check.
        low: smallest allowed value.
        high: largest allowed value.
        integer: whether `value` must be an integer.
    """
    kind = numbers.Integral if integer else numbers.Real
    _require_type(name, value, kind, "an integer" if integer else "a number")
    if not low <= value <= high:
        raise ValueError(
            f"`{name}` must be at least {low} and at most {high}. "
            f"Received: {name}={value}"
        )


def above(name: str, value: Any, low: float) -> None:
    """Require a finite number greater than `low`.

    See `fraction` for `name`, `value` and the errors.

    Args:
        name: name of the argument.
        value: the value to check.
        low: lower bound, itself not allowed.
    """
    _require_type(name, value, numbers.Real, "a number")
    if not low < value < float("inf"):
        raise ValueError(
            f"`{name}` must be above {low}. Received: {name}={value}"
        )


def batch_size(value: Any, n_train: int, dataset: str) -> None:
    """Require that a data set has enough training examples for one batch.

    Args:
        value: the batch size to check.
        n_train: number of training examples.
        dataset: name of the data set, used in the error message.

    Raises:
        TypeError: if `value` is not an integer.
        ValueError: if `value` is less than 1 or greater than `n_train`.
    """
    at_least("batch_size", value, 1, integer=True)
    if value > n_train:
        raise ValueError(
            f"`batch_size` must be at most {n_train}, the training examples "
            f"of {dataset!r}. Received: batch_size={value}"
        )


def one_of(name: str, value: Any, choices: Collection) -> None:
    """Require one of several choices.

    Args:
        name: name of the argument, used in the error message.
        value: the value to check.
        choices: the allowed values.

    Raises:
        ValueError: if `value` is not among them.
    """
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(str, choices))}. "
            f"Received: {name}={value!r}"
        )


def function(name: str, value: Any) -> None:
    """Require a callable.

    Args:
        name: name of the argument, used in the error message.
        value: the value to check.

    Raises:
        TypeError: if `value` cannot be called.
    """
    if not callable(value):
        raise TypeError(
            f"`{name}` must be a function (@module.name in gin). "
            f"Received: {name}={value!r}"
        )


def _require_type(name, value, kind, description):
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(
            f"`{name}` must be {description}. Received: {name}={value!r}"
        )
