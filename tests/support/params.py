"""Parameters of tests, of which some are slow."""

import pytest


def cover(values, quick):
    """Mark all parameters `slow` but a sample.

    The sample should meet every value of every parameter once; the slow tier
    meets the combinations.

    Args:
        values: list of parameters; tuples are several parameters.
        quick: function that says of a value whether it is in the sample, or a
            collection of the values that are.
    """
    if not callable(quick):
        missing = [value for value in quick if value not in values]
        if missing:
            raise ValueError(
                f"`quick` must hold parameters of the test. Received: {missing}"
            )
        quick = list(quick).__contains__
    return [value if quick(value) else slow(value) for value in values]


def slow(value):
    """Mark one parameter, or tuple of parameters, `slow`."""
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.slow)
