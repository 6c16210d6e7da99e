"""Measures of masks that are written out here."""

import numpy as np
import pytest

from rigl_tf.analysis import mask_measures

RECORDS = {
    10: {"a": [[1, 1], [0, 0]], "b": [[0], [1]]},
    0: {"a": [[1, 0], [1, 0]], "b": [[1], [0]]},
    30: {"a": [[1, 1], [0, 0]], "b": [[1], [0]]},
}
RECORDS = {
    step: {path: np.array(mask) for path, mask in masks.items()}
    for step, masks in RECORDS.items()
}


def test_measures_of_a_run_of_three_records():
    first, second, third = mask_measures.measure_masks(RECORDS)
    assert [r.step for r in (first, second, third)] == [0, 10, 30]
    assert second.densities == {"a": 0.5, "b": 0.5}
    # Of the weights a00, a10, b0 first and a00, a01, b1 then, one is in both.
    assert second.with_first == second.with_previous == 1 / 5
    assert third.with_previous == 2 / 4  # a00, a01, and b0 or b1
    assert third.with_first == 2 / 4
    assert first.with_last == third.with_first
    assert [r.explored for r in (first, second, third)] == [3 / 6, 5 / 6, 5 / 6]
    # At step 30: a00 since 0, a01 since 10, b0 anew.
    assert third.age == (30 + 20 + 0) / 3
    assert second.dead_inputs == {"a": 1, "b": 1}
    assert first.dead_outputs == {"a": 1, "b": 0}
    assert mask_measures.to_json([first])[0]["densities"]["a"] == 0.5


def test_degrees_count_connections():
    inputs, outputs = mask_measures.degrees(np.array([[1, 1, 0], [0, 1, 0]]))
    assert inputs.tolist() == [2, 1]
    assert outputs.tolist() == [1, 2, 0]
    inputs, outputs = mask_measures.degrees(np.ones((3, 3, 2, 4)))
    assert inputs.tolist() == [4] * 18 and outputs.tolist() == [18] * 4


def test_records_must_have_the_same_kernels():
    with pytest.raises(ValueError, match="must not be empty"):
        mask_measures.measure_masks({})
    with pytest.raises(ValueError, match=r"\['a'\] at step 7"):
        mask_measures.measure_masks({**RECORDS, 7: {"a": np.ones((2, 2))}})
