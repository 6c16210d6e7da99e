import pickle

import numpy as np
import pytest

from rigl_tf.training.hardware import payloads

ARRAYS = {
    "a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "mask": np.array([True, False]),
    "step": np.int64(2**60),
    "empty": np.zeros((0, 3), np.uint8),
}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "Zürich",
        2**70,
        -0.1,
        (),
        ("words", ("a", "b"), ["c"], {"d": (1, None)}),
        {1: {"x": []}, ("a", 2): 0},
    ],
)
def test_values_arrive_as_they_were_sent(value):
    arrived = payloads.decode(payloads.encode(value))
    assert arrived == value and type(arrived) is type(value)


def test_arrays_arrive_bit_by_bit():
    step, arrived = payloads.decode(payloads.encode((7, ARRAYS)))
    assert step == 7 and list(arrived) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrived[name].dtype == array.dtype
        np.testing.assert_array_equal(arrived[name], array)


def test_other_objects_are_not_sent():
    with pytest.raises(TypeError, match="Only numbers"):
        payloads.encode({"x": [object()]})
    with pytest.raises(ValueError, match="allow_pickle|Object arrays"):
        payloads.decode(payloads.encode(np.array([{}], dtype=object)))


class Evil:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_nothing_is_unpickled():
    sent = payloads.encode([1, np.arange(3)])
    for data in (pickle.dumps(Evil()), b"", b"PK", sent[:-30], sent[30:]):
        with pytest.raises(ValueError, match="another kind"):
            payloads.decode(data)
