"""The handwritten digits that are bundled with scikit-learn."""

import numpy as np
from sklearn import datasets
from sklearn import model_selection

from rigl_tf.datasets import arrays


def digits() -> arrays.ArrayDataset:
    """Return 1,797 real 8x8 digits: 1,437 to train, 360 to test.

    The split is fixed and stratified. Pixels lie in [0, 1].

    Returns:
        An `ArrayDataset` with inputs [examples, 8, 8, 1].

    Source: UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak
    1998), its test set, as bundled with scikit-learn.
    """
    return arrays.ArrayDataset("digits", (8, 8, 1), 10, _read)


def _read():
    bunch = datasets.load_digits()
    images = (bunch.images[..., np.newaxis] / 16).astype(np.float32)
    train_inputs, test_inputs, train_labels, test_labels = (
        model_selection.train_test_split(
            images,
            bunch.target.astype(np.int32),
            test_size=360,
            stratify=bunch.target,
            random_state=0,
        )
    )
    return (
        arrays.Split(train_inputs, train_labels),
        arrays.Split(test_inputs, test_labels),
    )
