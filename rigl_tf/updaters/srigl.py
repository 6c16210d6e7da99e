"""SRigL: RigL with constant fan-in that ablates neurons."""

import dataclasses
import math

import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks import patterns
from rigl_tf.masks import selection
from rigl_tf.updaters import protocol
from rigl_tf.updaters import rigl


@dataclasses.dataclass(kw_only=True)
class SRigL(rigl.RigL):
    """Move connections as RigL, at one fan-in per kernel; ablate neurons.

    Drop: the smallest |w| of the kernel; all connections of a neuron with fewer
        than gamma k salient ones: those that are kept, and those among as many
        inactive ones as were dropped, with the largest |dL/dw|.
    Grow: in each other neuron the largest |dL/dw|, up to the new fan-in k.
    First mask: random, constant fan-in.
    Cost: (3 f_S Delta T + 2 f_S + f_D) / (Delta T + 1) per step, as RigL.
    Hyper-parameters: gamma 0.3 for convolutional networks (paper, section 4);
        others as RigL.
    Deviations: the budget that ablated neurons free goes to the others in whole
        inputs per neuron, k = floor(n / neurons), up to all inputs; so the
        count can fall short of n by less than one input per neuron. An ablated
        neuron returns when enough of its gradients are among the largest. The
        last kernel, whose neurons are the outputs, and dense ones lose none.
    Reference: Lasby et al. 2024, "Dynamic Sparse Training with Structured
        Sparsity", section 3.1.

    Attributes:
        min_salient: gamma, share of the fan-in that must be salient, in [0, 1];
            0 ablates no neuron.
    """

    min_salient: float = 0.3

    def __post_init__(self):
        super().__post_init__()
        checks.fraction("min_salient", self.min_salient)
        if self.redistribution is not None:
            raise ValueError(
                "`SRigL` keeps the budget of each kernel. Received: "
                f"redistribution={self.redistribution!r}"
            )

    def check_pattern(self, pattern: patterns.Pattern) -> None:
        """Require a constant fan-in."""
        if not isinstance(pattern, patterns.ConstantFanIn):
            raise ValueError(
                '`SRigL` needs the pattern "constant_fan_in" (PATTERN). '
                f'Received: "{pattern}"'
            )

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the state; note which kernel gives the outputs."""
        super().build(kernels)
        self._last = kernels[-1].path

    def _grow(self, kernel, kept, gradient, n_units, step):
        """Ablate neurons, then refill the others."""
        kernel_shape, shape = tuple(kernel.kernel.shape), kernel.pattern
        n_neurons = kernel_shape[-1]
        fan_in = math.prod(kernel_shape[:-1])
        budget = n_neurons * shape.n_units(kernel_shape, kernel.sparsity)
        active = kernel.mask.value
        growth = self.grow_scores(kernel, gradient, step)
        wanted = selection.largest(growth, tf.reduce_sum(n_units), ~active)
        kept = shape.rows(kept)
        salient = selection.count(kept) + selection.count(
            shape.rows(wanted & ~active)
        )
        alive = self._alive(salient, shape.rows(active), budget)
        if kernel.path == self._last or budget == n_neurons * fan_in:
            alive = tf.ones_like(alive)
        n_alive = tf.reduce_sum(tf.cast(alive, tf.int32))
        new_fan_in = tf.minimum(budget // n_alive, fan_in)

        weights = shape.rows(tf.abs(kernel.kernel.value))
        kept &= alive
        kept &= selection.largest_in_rows(
            weights, tf.repeat(new_fan_in, n_neurons), kept
        )
        room = tf.where(alive, new_fan_in - selection.count(kept), 0)
        added = selection.largest_in_rows(shape.rows(growth), room, ~kept)
        new = shape.from_rows(kept | added, kernel_shape)
        change = protocol.MaskChange(
            new,
            new & ~active,
            self._grow_values(kernel, gradient, step),
        )
        return self._with_momentum(change, gradient)

    def _alive(self, salient, rows, budget):
        """Return which neurons stay, boolean [neurons, 1]."""
        n_alive = tf.reduce_sum(tf.cast(selection.count(rows) > 0, tf.int32))
        fan_in = tf.cast(budget // tf.maximum(n_alive, 1), tf.float32)
        fan_in = tf.minimum(fan_in, float(rows.shape[1]))
        least = tf.math.ceil(self.min_salient * fan_in)
        alive = tf.cast(salient, tf.float32) >= least
        # If none would be left, all stay.
        return alive | ~tf.reduce_any(alive)
