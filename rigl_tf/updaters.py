"""Mask updaters: the methods of sparse training behind one interface.

A method is a dataclass that says when masks change and scores connections for
dropping and growing; selection, weights and optimizer slots are handled by the
code that all methods share (`masks.drop_and_grow`, `trainer.SparseTrainer`).
Write your own by overriding the two scores of `DropAndGrow`.
"""

import abc
import collections.abc
import dataclasses

import keras
import tensorflow as tf

from rigl_tf import masks
from rigl_tf import schedules

_GROW_INITS = (
    "zeros",
    "random_normal",
    "random_uniform",
    "grad_scale",
    "grad_sign",
)


@dataclasses.dataclass(frozen=True)
class MaskChange:
    """What an update decides for one kernel.

    Attributes:
        mask: new mask, float tensor of zeros and ones.
        grown: boolean tensor of the connections that were inactive before.
        grow_values: weights that grown connections begin with, or None for 0.
        slot_values: values that are added to the initial slots of grown
            connections, or None.
    """

    mask: tf.Tensor
    grown: tf.Tensor
    grow_values: tf.Tensor | None = None
    slot_values: tf.Tensor | None = None


@dataclasses.dataclass(kw_only=True)
class MaskUpdater:
    """Base of all methods; by itself it never changes a mask.

    Attributes:
        seed: seed of all random choices of the method.
        updates_on_batch: whether an update looks at the dense gradients of a
            batch of its own, before a step (RigL, SNIP), or only at weights
            and state, after a step (SET, SNFS).
        starts_dense: whether first masks are all ones (see `masking.sparsify`).
        observes_gradients: whether `observe` wants every step's gradients.
        counts_update_steps: whether an update on a batch counts as a step.
    """

    seed: int = 0

    updates_on_batch = False
    starts_dense = False
    observes_gradients = False
    counts_update_steps = False

    def build(self, kernels):
        """Create the state; called once, before training.

        Args:
            kernels: list of `masking.MaskedKernel`.
        """
        del kernels

    def variables(self):
        """Map names to the state variables, for checkpoints."""
        return {}

    def check_optimizer(self, optimizer):
        """Raise ValueError if the method cannot work with the optimizer."""
        del optimizer

    def next_update(self, step, last_update_step):
        """Return the next step (int) at which an update is due, or None.

        Args:
            step: optimizer steps completed, int.
            last_update_step: step of the last update, or None.
        """
        del step, last_update_step
        return None

    def observe(self, kernels, gradients):
        """Take note of a step's dense gradients, reduced over replicas."""
        del kernels, gradients

    def changes(self, kernels, gradients, step):
        """Decide the new masks.

        Args:
            kernels: list of `masking.MaskedKernel`.
            gradients: list of dense gradients, one per kernel, if
                `updates_on_batch`; otherwise None.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            list of `MaskChange`, one per kernel.
        """
        raise TypeError(f"{type(self).__name__} never updates masks")


@dataclasses.dataclass(kw_only=True)
class Static(MaskUpdater):
    """Train with a fixed random mask.

    Drop: never. Grow: never.
    First mask: random, with the counts of the distribution.
    Cost: 3 f_S per step (paper, appendix H).
    Hyper-parameters: none.
    Deviations: this is the paper's Static; the original code calls it
        `scratch`, and its `static` re-initialises weak weights.
    Reference: Evci et al. 2020, section 4, "Static".
    """


@dataclasses.dataclass(kw_only=True)
class DropAndGrow(MaskUpdater, abc.ABC):
    """Base of the methods that move connections at fixed counts.

    Attributes:
        update_interval: steps between two updates (Delta T), at least 1.
        update_begin_step: first step at which masks may change.
        update_end_step: last such step, inclusive (T_end); None never stops.
        drop_fraction: share of active connections that an update moves: alpha
            in [0, 1], annealed by a cosine from begin to end, or a schedule
            (see `rigl_tf.schedules`).
        drop_noise: standard deviation of noise on the drop scores.
        grow_init: first weight of a grown connection: "zeros", "random_normal"
            (with the deviation of the active weights), "random_uniform" (within
            their mean magnitude), "grad_scale" (the dense gradient) or
            "grad_sign" (its sign); the last two need `updates_on_batch`.
        grow_init_divisor: divides the first weight.
    """

    update_interval: int = 100
    update_begin_step: int = 0
    update_end_step: int | None = None
    drop_fraction: float | collections.abc.Callable = 0.3
    drop_noise: float = 0.0
    grow_init: str = "zeros"
    grow_init_divisor: float = 1.0

    def __post_init__(self):
        self._window = schedules.UpdateWindow(
            self.update_interval, self.update_begin_step, self.update_end_step
        )
        self._drop_fraction = self.drop_fraction
        if not callable(self.drop_fraction):
            self._drop_fraction = schedules.cosine(
                self.drop_fraction, self.update_begin_step, self.update_end_step
            )
        if self.grow_init not in _GROW_INITS:
            raise ValueError(
                f"`grow_init` must be one of {', '.join(_GROW_INITS)}. "
                f"Received: grow_init={self.grow_init!r}"
            )
        if self.grow_init.startswith("grad") and not self.updates_on_batch:
            raise ValueError(
                f"`grow_init={self.grow_init!r}` needs the dense gradients of "
                f"the update's batch; {type(self).__name__} has none. Use "
                '"zeros", "random_normal" or "random_uniform"'
            )
        if not self.drop_noise >= 0:
            raise ValueError(
                "`drop_noise` must not be negative. "
                f"Received: drop_noise={self.drop_noise}"
            )
        if not self.grow_init_divisor > 0:
            raise ValueError(
                "`grow_init_divisor` must be above 0. "
                f"Received: grow_init_divisor={self.grow_init_divisor}"
            )

    def next_update(self, step, last_update_step):
        """Return the next due step that had no update yet."""
        if step == last_update_step or (
            step == 0 and not self.updates_on_batch
        ):
            step += 1
        return self._window.next_due(step)

    def changes(self, kernels, gradients, step):
        """Drop by `drop_scores`, grow by `grow_scores`; counts are kept."""
        if gradients is None:
            gradients = [None] * len(kernels)
        fraction = self._drop_fraction(step)
        return [
            self._change(kernel, gradient, fraction, step)
            for kernel, gradient in zip(kernels, gradients)
        ]

    def drop_scores(self, kernel, gradient, step):
        """Score active connections; the smallest are dropped: `|w|`.

        Args:
            kernel: `masking.MaskedKernel`.
            gradient: dense gradient of the kernel, or None.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            tensor shaped like the kernel.
        """
        del gradient
        scores = tf.abs(kernel.kernel.value)
        if self.drop_noise:
            seed = masks.stateless_seed(self.seed, kernel.path, "drop", step)
            noise = tf.random.stateless_normal(scores.shape, seed, alg="philox")
            scores += tf.cast(self.drop_noise * noise, scores.dtype)
        return scores

    @abc.abstractmethod
    def grow_scores(self, kernel, gradient, step):
        """Score connections outside the kept set; the largest are grown.

        Args and Returns: as `drop_scores`.
        """

    def _change(self, kernel, gradient, fraction, step):
        mask, grown = masks.drop_and_grow(
            kernel.mask.value,
            self.drop_scores(kernel, gradient, step),
            self.grow_scores(kernel, gradient, step),
            fraction,
        )
        return MaskChange(
            mask, grown, self._grow_values(kernel, gradient, step)
        )

    def _grow_values(self, kernel, gradient, step):
        if self.grow_init == "zeros":
            return None
        if self.grow_init == "grad_scale":
            values = gradient
        elif self.grow_init == "grad_sign":
            values = tf.sign(gradient)
        else:
            values = self._random_values(kernel, step)
        return values / tf.cast(self.grow_init_divisor, values.dtype)

    def _random_values(self, kernel, step):
        weights, mask = kernel.kernel.value, kernel.mask.value
        seed = masks.stateless_seed(self.seed, kernel.path, "grow_init", step)
        n_active = tf.maximum(tf.reduce_sum(mask), 1)
        if self.grow_init == "random_normal":
            draw, scale = tf.random.stateless_normal, tf.square(weights)
        else:
            draw, scale = tf.random.stateless_uniform, tf.abs(weights)
        values = tf.cast(draw(weights.shape, seed, alg="philox"), weights.dtype)
        scale = tf.reduce_sum(scale) / n_active
        if self.grow_init == "random_normal":
            return values * tf.sqrt(scale)
        return (2 * values - 1) * scale


@dataclasses.dataclass(kw_only=True)
class SET(DropAndGrow):
    """Drop the smallest weights, grow at random.

    Drop: the smallest |w| of the active connections.
    Grow: uniformly random among the positions outside the kept set.
    First mask: random, with the counts of the distribution.
    Cost: 3 f_S per step (paper, appendix H).
    Hyper-parameters: Delta T 100, alpha 0.3, cosine to T_end (paper, 4.1).
    Deviations: updates after steps Delta T, 2 Delta T, ...; the original code
        after 1, Delta T + 1, ...
    Reference: Mocanu et al. 2018; as in Evci et al. 2020, table 1.
    """

    def grow_scores(self, kernel, gradient, step):
        """Draw scores in [0, 1), equal on all replicas."""
        del gradient
        seed = masks.stateless_seed(self.seed, kernel.path, "grow", step)
        return masks.uniform_scores(kernel.kernel.shape, seed)


@dataclasses.dataclass(kw_only=True)
class RigL(DropAndGrow):
    """Drop the smallest weights, grow where the dense gradient is largest.

    Drop: the smallest |w| of the active connections.
    Grow: the largest |dL/dw| of the dense gradient on one global batch, L2
        excluded, averaged over replicas before ranking.
    First mask: random, with the counts of the distribution.
    Cost: (3 f_S Delta T + 2 f_S + f_D) / (Delta T + 1) per step (appendix H).
    Hyper-parameters: Delta T 100, alpha 0.3, cosine, T_end at 3/4 of the run
        (paper, 4.1); a larger alpha suits a longer Delta T (figure 5).
    Deviations: an update takes a batch of its own and leaves the step count
        where it is, as the original code; `counts_update_steps=True` counts it
        as a step, as Algorithm 1 of the paper.
    Reference: Evci et al. 2020, section 3, Algorithm 1.

    Attributes:
        counts_update_steps: whether an update counts as a step.
        initial_accumulator_scale: momentum of a grown connection, in multiples
            of its gradient; SGD only.
    """

    counts_update_steps: bool = False
    initial_accumulator_scale: float = 0.0

    updates_on_batch = True

    def check_optimizer(self, optimizer):
        """Require SGD for `initial_accumulator_scale`."""
        if self.initial_accumulator_scale and not isinstance(
            optimizer, keras.optimizers.SGD
        ):
            raise ValueError(
                "`initial_accumulator_scale` seeds the momentum of SGD; the "
                "slots of other optimizers mean something else. Received: "
                f"{type(optimizer).__name__}"
            )

    def grow_scores(self, kernel, gradient, step):
        """Return the magnitude of the dense gradient."""
        del kernel, step
        return tf.abs(gradient)

    def _change(self, kernel, gradient, fraction, step):
        change = super()._change(kernel, gradient, fraction, step)
        if not self.initial_accumulator_scale:
            return change
        return dataclasses.replace(
            change, slot_values=gradient * self.initial_accumulator_scale
        )


@dataclasses.dataclass(kw_only=True)
class SNFS(DropAndGrow):
    """Drop the smallest weights, grow where averaged gradients are largest.

    Drop: the smallest |w| of the active connections.
    Grow: the largest |EMA(dL/dw)|: m <- beta m + (1 - beta) g from zero, every
        step, no bias correction, over the reduced dense gradient without L2.
    First mask: random, with the counts of the distribution.
    Cost: 2 f_S + f_D per step (paper, appendix H).
    Hyper-parameters: beta 0.9; Delta T and alpha as RigL (paper, 4.1).
    Deviations: no redistribution across layers, as the original code. A step
        with non-finite gradients leaves the average as it is.
    Reference: Dettmers & Zettlemoyer 2019; as in Evci et al. 2020, table 1.

    Attributes:
        momentum: decay beta of the average, in [0, 1).
    """

    momentum: float = 0.9

    observes_gradients = True

    def __post_init__(self):
        super().__post_init__()
        if not 0.0 <= self.momentum < 1.0:
            raise ValueError(
                "`momentum` must lie in [0, 1). "
                f"Received: momentum={self.momentum}"
            )
        self._averages = {}

    def build(self, kernels):
        """Create one average of zeros per kernel."""
        self._averages = {
            kernel.path: keras.Variable(
                keras.ops.zeros(kernel.kernel.shape, kernel.kernel.dtype),
                trainable=False,
                autocast=False,
                aggregation="none",
                name="gradient_average",
            )
            for kernel in kernels
        }

    def variables(self):
        """Map kernel paths to the averages."""
        return {
            f"{path}/gradient_average": average
            for path, average in self._averages.items()
        }

    def observe(self, kernels, gradients):
        """Update the averages: `m <- beta m + (1 - beta) g`."""
        finite = all_finite(gradients)
        for kernel, gradient in zip(kernels, gradients):
            average = self._averages[kernel.path]
            old = average.value
            new = self.momentum * old + (1 - self.momentum) * gradient
            average.assign(tf.where(finite, new, old))

    def grow_scores(self, kernel, gradient, step):
        """Return the magnitude of the averaged gradient."""
        del gradient, step
        return tf.abs(self._averages[kernel.path].value)


@dataclasses.dataclass(kw_only=True)
class SNIP(MaskUpdater):
    """Choose the mask once, before training, by the saliency of connections.

    Drop: all but the largest |w dL/dw| on one batch, at step 0.
    Grow: never.
    First mask: dense; then the counts of the distribution, per kernel.
    Cost: 3 f_S per step (paper, appendix H).
    Hyper-parameters: none.
    Deviations: the gradient excludes L2 (the original code's includes it).
        `scope="global"` ranks over all kernels, as the SNIP paper does.
    Reference: Lee et al. 2019; as in Evci et al. 2020, table 1.

    Attributes:
        scope: "layer" or "global".
    """

    scope: str = "layer"

    updates_on_batch = True
    starts_dense = True

    def __post_init__(self):
        if self.scope not in ("layer", "global"):
            raise ValueError(
                '`scope` must be "layer" or "global". '
                f"Received: scope={self.scope!r}"
            )

    def next_update(self, step, last_update_step):
        """Return 0 until the mask has been chosen."""
        return 0 if step == 0 and last_update_step is None else None

    def changes(self, kernels, gradients, step):
        """Keep the largest `|w g|` within each kernel's, or the total, count."""
        del step
        counts = [masks.n_ones(k.size, k.sparsity) for k in kernels]
        scores = [
            tf.abs(kernel.kernel.value * gradient)
            for kernel, gradient in zip(kernels, gradients)
        ]
        if self.scope == "layer":
            chosen = map(masks.top_k_mask, scores, counts)
        else:
            chosen = masks.global_top_k_masks(scores, sum(counts))
        return [MaskChange(m, tf.zeros_like(m, tf.bool)) for m in chosen]


def all_finite(tensors):
    """Return a scalar boolean tensor: no infinity or NaN anywhere."""
    sums = [tf.reduce_sum(tf.abs(tensor)) for tensor in tensors]
    # A sum of magnitudes overflows or is NaN if any element is; the rare
    # finite overflow only skips an update.
    return tf.reduce_all([tf.math.is_finite(total) for total in sums])
