"""The base of methods that drop and grow equally many connections."""

import abc
import collections.abc
import dataclasses

import keras
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.masks import draws as mask_draws
from rigl_tf.masks import patterns
from rigl_tf.updaters import base
from rigl_tf.updaters import protocol
from rigl_tf.updaters import redistribution
from rigl_tf.updaters import schedules
from rigl_tf.updaters import sparse_growth
from rigl_tf.updaters import state
from rigl_tf.updaters import update_times

_GROW_INITS = (
    "zeros",
    "initial_dist",
    "random_normal",
    "random_uniform",
    "grad_scale",
    "grad_sign",
)


@dataclasses.dataclass(kw_only=True)
class DropAndGrow(base.MaskUpdater, abc.ABC):
    """Base of methods that drop and grow equally many connections.

    Attributes:
        update_interval: steps between two updates (Delta T), at least 1.
        update_begin_step: first step at which masks may change, or fraction of
            the run.
        update_end_step: last such step, inclusive (T_end), or fraction of the
            run, by default the paper's 0.75 (4.1); None never stops.
        update_steps: the steps at which masks change, instead of an interval;
            by default, T_end is then the step after the last of them.
        drop_fraction: share of active connections that an update moves: alpha
            in [0, 1], annealed by a cosine from begin to end, or a schedule
            (see `rigl_tf.updaters.schedules`).
        drop_noise: standard deviation of noise on the drop scores.
        grow_init: first weight of a grown connection: "zeros", "initial_dist"
            (drawn from the first active weights), "random_normal" (with the
            deviation of the active weights), "random_uniform" (within their
            mean magnitude), "grad_scale" (the dense gradient) or "grad_sign"
            (its sign); the last two need `needs.batch`.
        grow_init_divisor: divides the first weight.
        redistribution: None keeps the number of connections of each kernel.
            Otherwise dropped connections are grown in the kernels whose active
            weights have the largest mean |averaged gradient| ("momentum") or
            mean |gradient| ("gradient"), or are most numerous ("nonzero");
            the total stays the same.
        momentum: decay beta of averaged gradients, in [0, 1).
    """

    update_interval: int = 100
    update_begin_step: int | float = 0
    update_end_step: int | float | None = 0.75
    drop_fraction: float | collections.abc.Callable = 0.3
    update_steps: collections.abc.Sequence | None = None
    drop_noise: float = 0.0
    grow_init: str = "zeros"
    grow_init_divisor: float = 1.0
    redistribution: str | None = None
    momentum: float = 0.9

    _redistribution = None

    @property
    def needs(self) -> protocol.Needs:
        """What the method asks of the training loop."""
        shared = self._redistribution
        observes = shared is not None and shared.observes_gradients
        return dataclasses.replace(super().needs, step_gradients=observes)

    def __post_init__(self):
        if self.update_steps and base.is_fraction(self.update_end_step):
            self.update_end_step = self.update_steps[-1] + 1
        super().__post_init__()
        if callable(self.drop_fraction):
            self._drop_fraction = self.drop_fraction
        else:
            checks.fraction("drop_fraction", self.drop_fraction)
        checks.one_of("grow_init", self.grow_init, _GROW_INITS)
        if self.grow_init.startswith("grad") and not self.needs.batch:
            raise ValueError(
                f"`grow_init={self.grow_init!r}` needs the dense gradients of "
                f"the update's batch; {type(self).__name__} has none. Use "
                '"zeros", "random_normal" or "random_uniform"'
            )
        checks.at_least("drop_noise", self.drop_noise, 0)
        checks.above("grow_init_divisor", self.grow_init_divisor, 0)
        checks.fraction("momentum", self.momentum, include_one=False)
        self._redistribution = redistribution.get(self)
        if self._redistribution is not None:
            self._require_step_gradients()
        self._initial = {}

    def _require_step_gradients(self):
        """Require that an overridden `needs` keeps those of the base class."""
        wanted = self._redistribution.observes_gradients
        if wanted and not self.needs.step_gradients:
            raise ValueError(
                f"`redistribution={self.redistribution!r}` needs the gradients "
                f"of every step: `{type(self).__name__}.needs` must return "
                "`dataclasses.replace(super().needs, ...)`. "
                f"Received: needs={self.needs}"
            )

    def _plan(self):
        begin, end = self.update_begin_step, self.update_end_step
        if self.update_steps is None:
            self._window = update_times.UpdateWindow(
                self.update_interval, begin, end
            )
        else:
            self._window = update_times.UpdateSteps(
                self.update_steps, begin, end
            )
        if not callable(self.drop_fraction):
            self._drop_fraction = schedules.Cosine(
                self.drop_fraction, begin, end
            )

    def check_pattern(self, pattern: patterns.Pattern) -> None:
        """Require unstructured masks if connections move between kernels."""
        if self.redistribution is not None:
            what = f"`redistribution={self.redistribution!r}`"
            state.require_unstructured(pattern, what)

    def build(self, kernels: protocol.Kernels) -> None:
        """Create the state that growing needs."""
        if self._redistribution is not None:
            self._redistribution.build(kernels)
        if self.grow_init == "initial_dist":
            self._initial = {
                kernel.path: state.state_variable(
                    tf.boolean_mask(kernel.kernel, kernel.mask), "initial"
                )
                for kernel in kernels
            }

    def variables(self) -> dict[str, keras.Variable]:
        """Map names to the first weights and the redistribution's state."""
        named = {f"{path}/initial": v for path, v in self._initial.items()}
        if self._redistribution is not None:
            named |= self._redistribution.variables()
        return named

    def observe(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients,
        step: tf.Tensor,
    ) -> None:
        """Pass the gradients on to the redistribution."""
        if self._redistribution is not None:
            self._redistribution.observe(kernels, gradients)

    def next_update(
        self, step: int, last_update_step: int | None
    ) -> int | None:
        """Return the next due step that had no update yet."""
        if step == last_update_step or (step == 0 and not self.needs.batch):
            step += 1
        return self._window.next_due(step)

    def changes(
        self,
        kernels: protocol.Kernels,
        gradients: protocol.Gradients | None,
        step: tf.Tensor,
    ) -> list[protocol.MaskChange]:
        """Drop by `drop_scores`, grow by `grow_scores`; counts are kept."""
        if gradients is None:
            gradients = [None] * len(kernels)
        fraction = self._drop_fraction(step)
        before = self._masks_to_move(kernels, step)
        kept, n_lost = zip(
            *(
                kernel.pattern.drop(
                    mask, self.drop_scores(kernel, gradient, step), fraction
                )
                for kernel, mask, gradient in zip(kernels, before, gradients)
            )
        )
        if self._redistribution is not None:
            n_lost = self._redistribution.share_out(
                n_lost, kernels, kept, gradients
            )
        return [
            self._grow(kernel, rest, gradient, n_units, step)
            for kernel, rest, gradient, n_units in zip(
                kernels, kept, gradients, n_lost
            )
        ]

    def check_sparse(self) -> None:
        """Require a method that grows truly sparse layers, and its options."""
        sparse_growth.check(self)

    def sparse_changes(
        self,
        kernels: collections.abc.Sequence[protocol.SparseKernel],
        pairs: collections.abc.Sequence[protocol.Pair],
        step: tf.Tensor,
    ) -> list[protocol.SparseChange]:
        """Decide the new connections of truly sparse layers.

        Drops the smallest weights, and grows by `grow_sparse`.

        Args:
            kernels: list of `sparse_kernels.SparseKernel`.
            pairs: one `protocol.Pair` per kernel, of the batch of the update,
                of all replicas; None for a gradient of zeros, and without
                `needs.batch`.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            list of `SparseChange`, one per kernel.
        """
        fraction = self._drop_fraction(step)
        changes = []
        for kernel, pair in zip(kernels, pairs):
            kept = kernel.drop(tf.abs(kernel.kernel.value), fraction)
            positions = kernel.layer.structure.positions()
            rest = tf.boolean_mask(positions, kept)
            n_lost = tf.size(kept, tf.int64) - tf.size(rest, tf.int64)
            grown, scores = self.grow_sparse(kernel, rest, n_lost, pair, step)
            changes.append(protocol.SparseChange(kept, grown, scores))
        return changes

    def grow_sparse(
        self,
        kernel: protocol.SparseKernel,
        kept: tf.Tensor,
        n: tf.Tensor,
        pair: protocol.Pair,
        step: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Choose the connections to grow in a truly sparse kernel.

        Must choose what `grow_scores` ranks highest, without scores of all
        positions.

        Args:
            kernel: `sparse_kernels.SparseKernel`.
            kept: ascending positions of the connections that stay.
            n: number of connections to grow.
            pair: see `sparse_changes`.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            `(positions, scores)` of the grown connections, ascending.
        """
        raise TypeError(f"{type(self).__name__} needs scores of all positions")

    def drop_scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Score active connections; the smallest are dropped: `|w|`.

        Args:
            kernel: `kernel_masks.MaskedKernel`.
            gradient: dense gradient of the kernel, or None.
            step: optimizer steps completed, scalar int64 tensor.

        Returns:
            tensor shaped like the kernel.
        """
        del gradient
        scores = tf.abs(kernel.kernel.value)
        if self.drop_noise:
            seed = mask_draws.stateless_seed(
                self.seed, kernel.path, "drop", step
            )
            noise = mask_draws.normal_values(scores.shape, seed)
            scores += tf.cast(self.drop_noise * noise, scores.dtype)
        return scores

    @abc.abstractmethod
    def grow_scores(
        self,
        kernel: protocol.Kernel,
        gradient: tf.Tensor | None,
        step: tf.Tensor,
    ) -> tf.Tensor:
        """Score connections outside the kept set; the largest are grown.

        Args and Returns: as `drop_scores`.
        """

    def _masks_to_move(self, kernels, step):
        """Return the masks of which a fraction moves: the current ones."""
        del step
        return [kernel.mask.value for kernel in kernels]

    def _grow(self, kernel, kept, gradient, n_units, step):
        """Grow `n_units` units in each group of a kernel."""
        mask, grown = kernel.pattern.grow(
            kernel.mask.value,
            kept,
            self.grow_scores(kernel, gradient, step),
            n_units,
        )
        return protocol.MaskChange(
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
        seed = mask_draws.stateless_seed(
            self.seed, kernel.path, "grow_init", step
        )
        if self.grow_init == "initial_dist":
            values = self._initial[kernel.path].value
            draws = mask_draws.uniform_scores(weights.shape, seed)
            # A product with a power-of-two fraction: below the length.
            indices = tf.cast(draws * values.shape[0], tf.int32)
            return tf.gather(values, indices)
        n_active = tf.reduce_sum(tf.cast(mask, tf.int32))
        n_active = tf.cast(tf.maximum(n_active, 1), weights.dtype)
        if self.grow_init == "random_normal":
            values = mask_draws.normal_values(weights.shape, seed)
            deviation = tf.sqrt(tf.reduce_sum(tf.square(weights)) / n_active)
            return tf.cast(values, weights.dtype) * deviation
        values = 2 * mask_draws.uniform_scores(weights.shape, seed) - 1
        magnitude = tf.reduce_sum(tf.abs(weights)) / n_active
        return tf.cast(values, weights.dtype) * magnitude
