"""How far networks agree: in their answers, and in their weights."""

from collections.abc import Sequence
import dataclasses
import itertools
from typing import Any

import numpy as np
from scipy import special

from rigl_tf.analysis import loss
from rigl_tf.analysis import weights


@dataclasses.dataclass(frozen=True, eq=False)
class Agreement:
    """Comparison of some networks, and of each with a reference.

    Disagreement is the share of examples with different answers (Fort et al.
    2019). Fields of the reference are empty if there is none.

    Attributes:
        accuracies: accuracy of each network.
        ensemble: accuracy of the mean of their probabilities.
        disagreement: of each pair of networks.
        jaccard: of the connections of each pair, see `weights.jaccard`.
        distances: ||w_a - w_b||_2 of all networks, the reference last,
            symmetric, [networks, networks].
        with_reference: disagreement of each network with the reference.
        cosines: of the weights of each network and of the reference.
        divergences: mean over examples of KL(p_reference || p), in nats.
    """

    accuracies: np.ndarray
    ensemble: float
    disagreement: np.ndarray
    jaccard: np.ndarray
    distances: np.ndarray
    with_reference: np.ndarray
    cosines: np.ndarray
    divergences: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        values = dataclasses.asdict(self)
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        }


def agreement(
    networks: Sequence[weights.Given],
    inputs: np.ndarray,
    labels: np.ndarray,
    reference: weights.Given | None = None,
    **options: Any,
) -> Agreement:
    """Compare networks that were trained on the same data.

    Args:
        networks: two networks or more with the same variables; see
            `weights.of_network`.
        inputs: test examples, [n, ...].
        labels: their labels, [n].
        reference: another such network, such as the pruned solution that
            lottery tickets come from, or None.
        **options: arguments of `loss.Loss`.

    Raises:
        ValueError: there are fewer than two networks, or their variables
            differ.
    """
    if len(networks) < 2:
        raise ValueError(
            f"`networks` must be two or more. Received: {len(networks)}"
        )
    given = [weights.of_network(network) for network in networks]
    others = [] if reference is None else [weights.of_network(reference)]
    for other in [*given[1:], *others]:
        weights.require_alike(given[0], other)
    outputs = [
        loss.Loss(w, inputs, labels, **options).outputs(w.vector)
        for w in [*given, *others]
    ]
    logs = [special.log_softmax(o.astype(float), axis=-1) for o in outputs]
    answers = [o.argmax(axis=-1) for o in outputs]
    own, of_reference = logs[: len(given)], logs[len(given) :]
    pairs = list(itertools.combinations(range(len(given)), 2))
    mean = np.mean([np.exp(log) for log in own], axis=0)
    return Agreement(
        np.array([np.mean(a == labels) for a in answers[: len(given)]]),
        float(np.mean(mean.argmax(axis=-1) == labels)),
        np.array([np.mean(answers[i] != answers[j]) for i, j in pairs]),
        np.array([weights.jaccard(given[i], given[j]) for i, j in pairs]),
        np.array(
            [
                [weights.distance(a, b) for b in [*given, *others]]
                for a in [*given, *others]
            ]
        ),
        np.array(
            [
                np.mean(a != answers[-1])
                for a in answers[: len(given)]
                for _ in others
            ]
        ),
        np.array([weights.cosine(w, o) for w in given for o in others]),
        np.array(
            [
                np.mean(np.sum(np.exp(p) * (p - log), axis=-1))
                for log in own
                for p in of_reference
            ]
        ),
    )


def positions(distances: np.ndarray) -> np.ndarray:
    """Return places in a plane whose distances are like those given.

    Classical multidimensional scaling (Torgerson 1952): the places are the two
    leading eigenvectors of `-1/2 J D^2 J`, with D^2 the squared distances and J
    the centering matrix, times the roots of their eigenvalues.

    Args:
        distances: symmetric, [n, n].

    Returns:
        Array [n, 2].
    """
    size = len(distances)
    centering = np.eye(size) - 1 / size
    products = -centering @ np.square(distances) @ centering / 2
    values, vectors = np.linalg.eigh(products)
    return vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0))
