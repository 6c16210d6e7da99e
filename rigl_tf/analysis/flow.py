"""Gradient flow: how large the gradient is that a sparse network follows."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import numpy as np

from rigl_tf.analysis import loss
from rigl_tf.analysis import weights


@dataclasses.dataclass(frozen=True)
class GradientFlow:
    """Norms of the gradient of the loss at one point of training.

    Attributes:
        loss: L(w), without regularization.
        accuracy: share of right answers.
        active: `||dL/dw||_2` over the weights that are trained: active ones,
            and variables without a mask.
        dense: `||dL/dw||_2` over all weights; never below `active`.
        kernels: `(active, dense)` of each kernel with a mask, by path.
    """

    loss: float
    accuracy: float
    active: float
    dense: float
    kernels: Mapping[str, tuple[float, float]]

    @property
    def effective(self) -> float:
        """Mean of the active norms over the kernels with a mask.

        The effective gradient flow of Tessera et al. 2021, with p = 2; that of
        all trained weights for a dense network.
        """
        if not self.kernels:
            return self.active
        return float(np.mean([active for active, _ in self.kernels.values()]))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {**dataclasses.asdict(self), "effective": self.effective}


def gradient_flow(
    network: weights.Given,
    inputs: np.ndarray,
    labels: np.ndarray,
    **options: Any,
) -> GradientFlow:
    """Compute the norms of the gradient of the loss (Evci et al. 2022).

    Args:
        network: dense or sparse network; see `weights.of_network`.
        inputs: examples, [n, ...].
        labels: labels, [n].
        **options: arguments of `loss.Loss`.
    """
    given = weights.of_network(network)
    function = loss.Loss(given, inputs, labels, **options)
    return at(given, function)


def at(given: weights.Weights, function: loss.Loss) -> GradientFlow:
    """Compute the norms for weights, with a loss that is there already.

    Args:
        given: weights of the network that `function` computes.
        function: its loss.
    """
    value, accuracy, gradient = function.gradient(given.vector)
    followed = np.where(given.trained, gradient, 0)
    places = given.places
    return GradientFlow(
        value,
        accuracy,
        float(np.linalg.norm(followed)),
        float(np.linalg.norm(gradient)),
        {
            path: (
                float(np.linalg.norm(followed[places[path]])),
                float(np.linalg.norm(gradient[places[path]])),
            )
            for path in given.kernels
        },
    )
