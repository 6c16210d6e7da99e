"""One-shot pruning: dense training, one cut, training on."""

import dataclasses

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks import draws
from rigl_tf.updaters import choose_once
from rigl_tf.updaters import protocol


@dataclasses.dataclass(kw_only=True)
class OneShot(choose_once.ChooseOnce):
    """Train densely, prune once, train on with the mask.

    Drop: all but the best, once: the largest |w| ("magnitude"), |w dL/dw| on
        one batch ("saliency"), or a random choice ("random"), at `prune_step`.
    Grow: never.
    First mask: dense; then the counts of the distribution, per kernel.
    Cost: 3 f_D per step before the mask is chosen, 3 f_S after it; once 3 f_D
        for the saliency.
    Hyper-parameters: the step, e.g. at a quarter of the run.
    Deviations: one run with one learning-rate schedule, not a second one after
        pruning.
    Reference: Han et al. 2015, "Learning both Weights and Connections for
        Efficient Neural Networks" (magnitude); Molchanov et al. 2019,
        "Importance Estimation for Neural Network Pruning" (saliency); random
        is the control, as in Lee et al. 2024, "JaxPruner".

    Attributes:
        prune_step: step after which the mask is chosen, at least 0, or
            fraction of the run.
        score: "magnitude", "saliency" or "random".
    """

    prune_step: int | float = 0
    score: str = "magnitude"

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        return dataclasses.replace(
            super().needs, batch=self.score == "saliency"
        )

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("score", self.score, ("magnitude", "saliency", "random"))

    def _plan(self):
        checks.at_least("prune_step", self.prune_step, 0, integer=True)

    def update_flops(self, sparse: float, dense: float) -> float:
        """Return `3 f_D` if the score needs a batch."""
        del sparse
        return 3 * dense if self.needs.batch else 0

    def scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Return the score."""
        weights = kernel.kernel.value
        if self.score == "magnitude":
            return tf.abs(weights)
        if self.score == "saliency":
            return tf.abs(weights * gradient)
        seed = draws.stateless_seed(self.seed, kernel.path, "one_shot", step)
        return draws.uniform_scores(weights.shape, seed)
