"""Agreement of networks whose answers are known."""

import keras
import numpy as np
import pytest

from rigl_tf.analysis import disagreement
from rigl_tf.analysis import weights

# Inputs are one-hot, so that the rows of the kernel are the logits.
X = np.eye(4, dtype=np.float32)
LABELS = np.array([0, 1, 0, 1])


def answering(*logits):
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(2, use_bias=False)]
    )
    kernel = np.array([(value, -value) for value in logits], np.float32)
    model.layers[-1].kernel.assign(kernel)
    return model


FIRST, SECOND, THIRD = (1, -1, 1, -1), (1, 1, 1, -1), (1, -1, -3, -1)


def test_disagreement_and_ensemble_of_known_answers():
    models = [answering(*logits) for logits in (FIRST, SECOND, THIRD)]
    found = disagreement.agreement(models, X, LABELS)
    np.testing.assert_allclose(found.accuracies, [1, 0.75, 0.75])
    np.testing.assert_allclose(found.disagreement, [0.25, 0.25, 0.5])

    def first_class(z):
        return 1 / (1 + np.exp(-2 * z))

    # Two of three are right on each; but the third is very sure of example 2.
    means = np.mean(
        [first_class(np.array(z)) for z in (FIRST, SECOND, THIRD)], 0
    )
    wanted = np.mean((means < 0.5) == LABELS)
    assert found.ensemble == wanted
    assert found.with_reference.size == found.cosines.size == 0
    squares = 2 * np.square(np.subtract(FIRST, THIRD)).sum()
    assert found.distances[0, 2] == pytest.approx(np.sqrt(squares))
    np.testing.assert_array_equal(found.distances, found.distances.T)


def test_comparison_with_a_reference():
    models = [answering(*FIRST), answering(*SECOND)]
    found = disagreement.agreement(models, X, LABELS, answering(*THIRD))
    np.testing.assert_allclose(found.with_reference, [0.25, 0.5])
    a, b = np.array(FIRST), np.array(THIRD)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert found.cosines[0] == pytest.approx(cosine)

    def probabilities(z):
        p = 1 / (1 + np.exp(-2 * z))
        return np.stack([p, 1 - p], axis=-1)

    p, q = probabilities(b), probabilities(a)
    wanted = np.mean(np.sum(p * np.log(p / q), axis=-1))
    assert found.divergences[0] == pytest.approx(wanted, rel=1e-5)
    assert found.distances.shape == (3, 3)


def test_a_network_agrees_with_itself():
    given = weights.of_network(answering(*FIRST))
    found = disagreement.agreement([given, given], X, LABELS, given)
    assert found.disagreement.tolist() == [0]
    np.testing.assert_allclose(found.divergences, 0, atol=1e-7)
    np.testing.assert_allclose(found.cosines, 1)


def test_one_network_is_refused():
    with pytest.raises(ValueError, match="two or more"):
        disagreement.agreement([answering(*FIRST)], X, LABELS)


def test_places_keep_the_distances_of_a_plane():
    places = np.array([[0, 0], [3, 0], [0, 4], [3, 4.0]])
    distances = np.linalg.norm(places[:, None] - places, axis=-1)
    found = disagreement.positions(distances)
    again = np.linalg.norm(found[:, None] - found, axis=-1)
    np.testing.assert_allclose(again, distances, atol=1e-9)
