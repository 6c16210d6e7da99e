import numpy as np
import tensorflow as tf

from rigl_tf.masks import draws


def test_normal_values_are_finite_and_normal():
    # Among these draws is the largest uniform one.
    values = draws.normal_values((4_000_000,), tf.constant([1, 3])).numpy()
    assert np.isfinite(values).all()
    assert abs(values.mean()) < 0.003 and abs(values.std() - 1) < 0.003
