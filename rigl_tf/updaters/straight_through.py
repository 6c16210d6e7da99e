"""Methods that train all weights and use the largest: DNW and its kin."""

import dataclasses

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf import schedules
from rigl_tf.updaters import base
from rigl_tf.updaters import state


@dataclasses.dataclass(kw_only=True)
class StraightThrough(base.MaskUpdater):
    """Train dense weights; compute with the largest of them.

    Drop: whatever is not among the largest |w| of all weights, active or not.
    Grow: whatever is.
    First mask: the largest first weights, with the counts of the distribution.
    Cost: 2 f_S + f_D per step: every step needs dense gradients.
    Hyper-parameters: masks follow the weights after every step; lambda 2e-4
        for SR-STE (paper, section 4).
    Deviations: counts per kernel follow the distribution, for any pattern;
        SR-STE's is N:M. Optimizer slots stay where masks change.
    Reference: Bengio et al. 2013, "Estimating or Propagating Gradients Through
        Stochastic Neurons" (straight-through); Zhou et al. 2021, "Learning N:M
        Fine-grained Structured Sparse Neural Networks From Scratch", equation 6
        (SR-STE).

    Attributes:
        update_interval: steps between two updates of the masks, at least 1.
        update_end_step: last step at which they change, or fraction of the
            run; None never stops.
        refinement: lambda: adds lambda w to the gradient of inactive weights,
            so that they fade (SR-STE); 0 for plain straight-through.
    """

    update_interval: int = 1
    update_end_step: int | float | None = None
    refinement: float = 0.0

    trains_inactive = True
    starts_dense = True

    def __post_init__(self):
        super().__post_init__()
        checks.at_least("refinement", self.refinement, 0)
        self._dense = {}

    def _plan(self):
        self._window = schedules.UpdateWindow(
            self.update_interval, 0, self.update_end_step
        )

    def build(self, kernels):
        """Create the dense weights, equal to the first kernels."""
        self._dense = {
            kernel.path: keras.Variable(
                # A copy: Keras would take the variable itself.
                tf.identity(kernel.kernel.value),
                autocast=False,
                name=f"{kernel.path.replace('/', '_')}_dense_weights",
            )
            for kernel in kernels
        }
        for kernel in kernels:
            own = getattr(kernel.kernel.constraint, "inner", None)
            self._dense[kernel.path].constraint = own

    def variables(self):
        """Map names to the dense weights."""
        return {f"{p}/dense_weights": v for p, v in self._dense.items()}

    def check_optimizer(self, optimizer):
        """Refuse averages of weights: Keras would put them into kernels."""
        if optimizer.use_ema:
            raise ValueError(
                f"{type(self).__name__} trains dense weights beside the "
                "kernels, whose averages are no kernels. Received: "
                "use_ema=True; use another method, or no averages"
            )

    def next_update(self, step, last_update_step):
        """Return the next due step that had no update yet; the first is 0."""
        return self._window.next_after(step, last_update_step)

    def step_flops(self, sparse, dense):
        """Return `2 f_S + f_D`: every step needs dense gradients."""
        return 2 * sparse + dense

    def dense_weights(self, kernel):
        """Return the weights that the optimizer trains."""
        return self._dense[kernel.path]

    def step_gradient(self, kernel, gradient):
        """Return the dense gradient, straight through the mask."""
        return gradient

    def penalty_gradient(self, kernel, l2):
        """Return `wd w + lambda (1 - m) w` of the dense weights."""
        if not l2 and not self.refinement:
            return None
        dense = self._dense[kernel.path].value
        inactive = 1 - tf.cast(kernel.mask.value, dense.dtype)
        return (l2 + self.refinement * inactive) * dense

    def changes(self, kernels, gradients, step):
        """Keep the largest `|w|` of the dense weights."""
        del gradients, step
        changes = []
        for kernel in kernels:
            mask = kernel.fresh_mask(tf.abs(self._dense[kernel.path].value))
            grown = (mask > 0) & ~(kernel.mask.value > 0)
            changes.append(base.MaskChange(mask, grown))
        return changes


@dataclasses.dataclass(kw_only=True)
class DNW(StraightThrough):
    """Discover wirings: the largest weights of all are the edges.

    Drop: whatever is not among the largest |w| of all weights, active or not.
    Grow: whatever is.
    First mask: the largest first weights, with the counts of the distribution.
    Cost: 2 f_S + f_D per step: every step needs dense gradients.
    Hyper-parameters: none; masks follow the weights after every step.
    Deviations: the kernels' L2 is left out, as in the original code of RigL.
    Reference: Wortsman et al. 2019, "Discovering Neural Wirings", section 2.2.
    """

    def penalty_gradient(self, kernel, l2):
        """Leave L2 out."""
        return super().penalty_gradient(kernel, 0.0)


@dataclasses.dataclass(kw_only=True)
class TopKAST(StraightThrough):
    """Compute with the largest weights, train some more of them.

    Drop: whatever leaves A, the largest |w| of all weights.
    Grow: whatever enters A. Weights in the larger set B get gradients, those
        outside B keep their values.
    First mask: the largest first weights, with the counts of the distribution.
    Cost: 2 f_A + f_B per step.
    Hyper-parameters: masks every 100 steps, without loss in the paper
        (section 2.4, appendix); B twice or more as dense as A.
    Deviations: optimizer slots outside B go on decaying. L2 as the exploration
        loss of section 2.3: wd/2 (|w_A|^2 + |w_(B - A)|^2 / D), D the density
        of A.
    Reference: Jayakumar et al. 2020, "Top-KAST: Top-K Always Sparse Training",
        section 2.

    Attributes:
        backward_ratio: sparsity of B over that of A, in [0, 1].
    """

    update_interval: int = 100
    backward_ratio: float = 0.9

    def __post_init__(self):
        super().__post_init__()
        checks.fraction("backward_ratio", self.backward_ratio)
        if self.refinement:
            raise ValueError(
                "Top-KAST penalises by `l2` alone, as the paper. Received: "
                f"refinement={self.refinement}"
            )
        self._backward = {}

    def build(self, kernels):
        """Create the dense weights and the sets B."""
        super().build(kernels)
        self._backward = {
            kernel.path: state.state_variable(
                tf.ones_like(kernel.mask.value), "backward_mask"
            )
            for kernel in kernels
        }

    def variables(self):
        """Map names to the dense weights and the sets B."""
        backward = {f"{p}/backward_mask": v for p, v in self._backward.items()}
        return {**super().variables(), **backward}

    def step_flops(self, sparse, dense):
        """Return `2 f_A + f_B`."""
        backward = dense - self.backward_ratio * (dense - sparse)
        return 2 * sparse + backward

    def step_gradient(self, kernel, gradient):
        """Return the gradient within B."""
        gradient = super().step_gradient(kernel, gradient)
        backward = self._backward[kernel.path].value
        return gradient * tf.cast(backward, gradient.dtype)

    def trained_positions(self, kernel):
        """Return B: elsewhere not even momentum moves a weight."""
        return self._backward[kernel.path].value > 0

    def penalty_gradient(self, kernel, l2):
        """Return `wd w` in A, and `wd w / D` in the rest of B."""
        if not l2:
            return None
        dense = self._dense[kernel.path].value
        mask = tf.cast(kernel.mask.value, dense.dtype)
        backward = tf.cast(self._backward[kernel.path].value, dense.dtype)
        density = tf.maximum(tf.reduce_mean(mask), 1 / kernel.size)
        return l2 * dense * (mask + (backward - mask) / density)

    def changes(self, kernels, gradients, step):
        """Choose A and B anew by `|w|`."""
        for kernel in kernels:
            scores = tf.abs(self._dense[kernel.path].value)
            wider = self.backward_ratio * kernel.sparsity
            backward = self._backward[kernel.path]
            mask = kernel.fresh_mask(scores, wider)
            backward.assign(tf.cast(mask, backward.dtype))
        return super().changes(kernels, gradients, step)
