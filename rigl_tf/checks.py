"""Checks of arguments: rule, value received, raised where they are given."""

import numbers

# What is raised for what the user can cure.
MISTAKES = (ValueError, TypeError, OSError, ImportError)

# TensorFlow counts in 64 bits.
_BEYOND_INTEGERS = 2**63


def fraction(name, value, include_one=True):
    """Require a number in [0, 1], or in [0, 1) without `include_one`.

    Args:
        name: how the error calls the argument.
        value: what was given.
        include_one: whether 1 is allowed.
    """
    _require_type(name, value, numbers.Real, "a number")
    if not 0 <= value <= 1 or (value == 1 and not include_one):
        interval = "[0, 1]" if include_one else "[0, 1)"
        raise ValueError(
            f"`{name}` must lie in {interval}. Received: {name}={value}"
        )


def at_least(name, value, low, integer=False):
    """Require a finite number, or an integer, of `low` or more."""
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


def between(name, value, low, high, integer=False):
    """Require a number, or an integer, from `low` to `high`."""
    kind = numbers.Integral if integer else numbers.Real
    _require_type(name, value, kind, "an integer" if integer else "a number")
    if not low <= value <= high:
        raise ValueError(
            f"`{name}` must be at least {low} and at most {high}. "
            f"Received: {name}={value}"
        )


def above(name, value, low):
    """Require a finite number above `low`."""
    _require_type(name, value, numbers.Real, "a number")
    if not low < value < float("inf"):
        raise ValueError(
            f"`{name}` must be above {low}. Received: {name}={value}"
        )


def batch_size(value, n_train, dataset):
    """Require that the training examples of a data set fill a batch."""
    at_least("batch_size", value, 1, integer=True)
    if value > n_train:
        raise ValueError(
            f"`batch_size` must be at most {n_train}, the training examples "
            f"of {dataset!r}. Received: batch_size={value}"
        )


def one_of(name, value, choices):
    """Require one of some strings."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(str, choices))}. "
            f"Received: {name}={value!r}"
        )


def function(name, value):
    """Require something that can be called."""
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
