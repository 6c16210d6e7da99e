"""Masks that are chosen once: SNIP, GraSP, and one-shot pruning."""

import abc
import dataclasses

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks import draws
from rigl_tf.updaters import base
from rigl_tf.updaters import ranking


@dataclasses.dataclass(kw_only=True)
class ChooseOnce(ranking.Ranking, abc.ABC):
    """Base of the methods that choose the mask from dense weights, once."""

    prune_step = 0

    @property
    def sparsity_varies(self):
        """Say whether steps are made before the mask is chosen."""
        return self.prune_step > 0

    def next_update(self, step, last_update_step):
        """Return the step at which the mask is chosen, until it has been."""
        if last_update_step is not None:
            return None
        if self.has_fractions:
            return self._window.next_due(step)  # not known yet: an error
        # After a skipped update it is due again, after one more step.
        return max(step, self.prune_step)

    def sparsity_progress(self, step):
        """Return 0 before the mask is chosen, 1 from then on."""
        return float(step >= self.prune_step)

    @abc.abstractmethod
    def scores(self, kernel, gradient, step):
        """Score connections; the largest are kept.

        Args:
            kernel: `kernel_masks.MaskedKernel`, still dense.
            gradient: its gradient, if `updates_on_batch`.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            tensor shaped like the kernel.
        """

    def changes(self, kernels, gradients, step):
        """Keep the largest scores, per kernel or over all."""
        if gradients is None:
            gradients = [None] * len(kernels)
        scores = [
            self.scores(kernel, gradient, step)
            for kernel, gradient in zip(kernels, gradients)
        ]
        chosen = self.fresh_masks(kernels, scores)
        return [base.MaskChange(m, tf.zeros_like(m, tf.bool)) for m in chosen]


@dataclasses.dataclass(kw_only=True)
class SNIP(ChooseOnce):
    """Choose the mask once, before training, by the saliency of connections.

    Drop: all but the largest |w dL/dw| on one batch, at step 0.
    Grow: never.
    First mask: dense; then the counts of the distribution, per kernel.
    Cost: 3 f_S per step (paper, appendix H), once 3 f_D.
    Hyper-parameters: none.
    Deviations: the gradient excludes L2 (the original code's includes it).
        `scope="global"` ranks over all kernels, as the SNIP paper does.
    Reference: Lee et al. 2019, "SNIP: Single-shot Network Pruning based on
        Connection Sensitivity"; as in Evci et al. 2020, table 1.
    """

    updates_on_batch = True

    def update_flops(self, sparse, dense):
        """Return `3 f_D`: one batch of the dense network chooses the mask."""
        del sparse
        return 3 * dense

    def scores(self, kernel, gradient, step):
        """Return `|w g|`."""
        del step
        return tf.abs(kernel.kernel.value * gradient)


@dataclasses.dataclass(kw_only=True)
class GraSP(ChooseOnce):
    """Choose the mask once, before training, to preserve the gradient flow.

    Drop: all but the largest w * Hg on one batch, at step 0: those whose
        removal lowers the norm of the gradient least, or raises it
        (S(-w) = -w * Hg, equation 8).
    Grow: never.
    First mask: dense; then the counts of the distribution, per kernel.
    Cost: 3 f_S per step, once 9 f_D for the Hessian-gradient product.
    Hyper-parameters: temperature 200 of the softmax (authors' code); without
        it LeNet-300-100 at 98 % hardly learns.
    Deviations: one training batch, where the paper takes ten examples of each
        class. `scope="global"` ranks over all kernels, as the paper does.
        `absolute=True` ranks |w * Hg|, as the original code of RigL did.
    Reference: Wang et al. 2020, "Picking Winning Tickets Before Training by
        Preserving Gradient Flow", equation 8 and algorithm 1.

    Attributes:
        absolute: whether to rank by magnitude.
        temperature: what logits are divided by, above 0; for losses that take
            no logits 1.
    """

    absolute: bool = False
    temperature: float = 200.0

    updates_on_batch = True
    second_order = True

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("absolute", self.absolute, (True, False))
        checks.above("temperature", self.temperature, 0)

    def check_loss(self, loss):
        """Require a loss of logits, or a temperature of 1."""
        for part in keras.tree.flatten(loss):
            if isinstance(part, str):
                part = keras.losses.get(part)
            if isinstance(part, keras.losses.Loss):
                takes_logits = part.get_config().get("from_logits")
            else:  # a function of Keras takes none by default
                module = getattr(part, "__module__", "")
                takes_logits = not module.startswith("keras.")
            if self.temperature != 1 and not takes_logits:
                raise ValueError(
                    "GraSP divides logits by its temperature: give `loss` "
                    "`from_logits=True`, or GraSP `temperature=1`. Received: "
                    f"{part!r}, temperature={self.temperature}"
                )

    def update_flops(self, sparse, dense):
        """Return `9 f_D`: a gradient, and the gradient of a function of it."""
        del sparse
        return 9 * dense

    def scores(self, kernel, gradient, step):
        """Return `w Hg`, or its magnitude."""
        del step
        scores = kernel.kernel.value * gradient
        return tf.abs(scores) if self.absolute else scores


@dataclasses.dataclass(kw_only=True)
class OneShot(ChooseOnce):
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

    def __post_init__(self):
        super().__post_init__()
        checks.one_of("score", self.score, ("magnitude", "saliency", "random"))
        self.updates_on_batch = self.score == "saliency"

    def _plan(self):
        checks.at_least("prune_step", self.prune_step, 0, integer=True)

    def update_flops(self, sparse, dense):
        """Return `3 f_D` if the score needs a batch."""
        del sparse
        return 3 * dense if self.updates_on_batch else 0

    def scores(self, kernel, gradient, step):
        """Return the score."""
        weights = kernel.kernel.value
        if self.score == "magnitude":
            return tf.abs(weights)
        if self.score == "saliency":
            return tf.abs(weights * gradient)
        seed = draws.stateless_seed(self.seed, kernel.path, "one_shot", step)
        return draws.uniform_scores(weights.shape, seed)
