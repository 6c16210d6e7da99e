"""RigL: grow by dense gradients."""

import dataclasses

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.updaters import gradient_averages
from rigl_tf.updaters import grow_by_gradients
from rigl_tf.updaters import protocol
from rigl_tf.updaters import sparse_growth


@dataclasses.dataclass(kw_only=True)
class RigL(grow_by_gradients.GrowByGradients):
    """Drop the smallest weights, grow where the dense gradient is largest.

    Drop: the smallest |w| of the active connections.
    Grow: the largest |dL/dw|: of the dense gradient on one global batch, L2
        excluded, averaged over replicas before ranking.
    First mask: random, with the counts of the distribution.
    Cost: (3 f_S Delta T + 2 f_S + f_D) / (Delta T + 1) per step (appendix H).
    Hyper-parameters: Delta T 100, alpha 0.3, cosine, T_end at 3/4 of the run
        (paper, 4.1); a larger alpha suits a longer Delta T (figure 5).
    Deviations: an update takes a batch of its own and leaves the step count
        where it is, as the original code; `counts_update_steps=True` counts it
        as a step, as Algorithm 1 of the paper.
    Reference: Evci et al. 2020, section 3, Algorithm 1. RigL-SM and RigL-SG,
        with `redistribution` "momentum" and "gradient": Sundar & Dwaraknath
        2021, "[Reproducibility Report] Rigging the Lottery".

    Attributes:
        counts_update_steps: whether an update counts as a step.
        gradient_batches: over how many batches dense gradients are averaged:
            those of the steps just before the update, and its own (a remedy
            for small batches, by the authors of rigl-torch).
        initial_accumulator_scale: momentum of a grown connection, in multiples
            of its gradient; SGD only.
    """

    counts_update_steps: bool = False
    gradient_batches: int = 1
    initial_accumulator_scale: float = 0.0

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        needs = super().needs
        return dataclasses.replace(
            needs,
            batch=True,
            step_gradients=needs.step_gradients or self.gradient_batches > 1,
            update_is_step=self.counts_update_steps,
        )

    def __post_init__(self):
        super().__post_init__()
        checks.one_of(
            "counts_update_steps", self.counts_update_steps, (True, False)
        )
        checks.at_least(
            "gradient_batches", self.gradient_batches, 1, integer=True
        )
        self._sums = None
        if self.gradient_batches > 1:
            self._sums = gradient_averages.GradientSums(self.gradient_batches)

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the state, sums of gradients included."""
        super().build(kernels)
        if self._sums is not None:
            self._sums.build(kernels)

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the state, sums of gradients included."""
        sums = {} if self._sums is None else self._sums.variables()
        return {**super().variables(), **sums}

    def observe(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients,
        step: tf.Tensor,
    ) -> None:
        """Add up gradients just before an update."""
        super().observe(kernels, gradients, step)
        if self._sums is not None:
            self._sums.observe(
                kernels, gradients, self._window.steps_to_go(step)
            )

    def changes(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients | None,
        step: tf.Tensor,
    ) -> list[protocol.MaskChange]:
        """Drop by `drop_scores`, grow by `grow_scores`; counts are kept."""
        if self._sums is not None:
            gradients = self._sums.means(kernels, gradients)
        return super().changes(kernels, gradients, step)

    def check_optimizer(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Require SGD for `initial_accumulator_scale`."""
        if self.initial_accumulator_scale and not isinstance(
            optimizer, keras.optimizers.SGD
        ):
            raise ValueError(
                "`initial_accumulator_scale` seeds the momentum of SGD; the "
                "slots of other optimizers mean something else. Received: "
                f"{type(optimizer).__name__}"
            )

    def update_flops(self, sparse: float, dense: float) -> float:
        """Return `2 f_S + f_D` per batch with dense gradients.

        Steps whose gradients are averaged too cost `f_D - f_S` more than usual.
        """
        earlier = (self.gradient_batches - 1) * (dense - sparse)
        return 2 * sparse + dense + earlier

    def grow_sparse(
        self,
        kernel: protocol.SparseKernel,
        kept: tf.Tensor,
        n: tf.Tensor,
        pair: protocol.Pair,
        step: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Search the dense gradient `X^T G` tile by tile."""
        del step
        return sparse_growth.by_gradients(kernel, kept, n, pair)

    def _grow(self, kernel, kept, gradient, n_units, step):
        change = super()._grow(kernel, kept, gradient, n_units, step)
        return self._with_momentum(change, gradient)

    def _with_momentum(self, change, gradient):
        if not self.initial_accumulator_scale:
            return change
        return dataclasses.replace(
            change, slot_values=gradient * self.initial_accumulator_scale
        )


@dataclasses.dataclass(kw_only=True)
class RigLInverted(RigL):
    """Grow where the dense gradient is smallest: a control for RigL.

    Drop: the smallest |w| of the active connections.
    Grow: the smallest |dL/dw|.
    First mask: random, with the counts of the distribution.
    Cost: (3 f_S Delta T + 2 f_S + f_D) / (Delta T + 1) per step, as RigL.
    Hyper-parameters: as RigL.
    Deviations: none known; the original code calls it `rigl_inverted`.
    Reference: Evci et al. 2022, "Gradient Flow in Sparse Neural Networks and
        How Lottery Tickets Win" (code only).
    """

    def grow_scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Return the negative magnitude of the dense gradient."""
        return -super().grow_scores(kernel, gradient, step)
