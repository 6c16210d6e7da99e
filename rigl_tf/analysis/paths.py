"""The loss along lines and Bezier curves between two networks.

Evci et al. 2020, section 4.4 and figure 6 left; the curves are those of
Garipov et al. 2018.
"""

from collections.abc import Callable
import dataclasses
import math
from typing import Any
from typing import Literal
from typing import TypeAlias

import numpy as np

from rigl_tf import checks
from rigl_tf.analysis import loss
from rigl_tf.analysis import weights

Space: TypeAlias = Literal["sparse", "dense"]
# Called with steps done and all steps of a long computation.
Progress: TypeAlias = Callable[[int, int], None]
# Losses that rise by less count as monotone: they are sums in float32.
_TOLERANCE = 1e-3
_MOMENTUM = 0.9
_LAST_RATE = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Path:
    """The loss along a path w(t) from one network, t = 0, to another, t = 1.

    Attributes:
        t: points of the path, [points].
        losses: L(w(t)), [points].
        accuracies: share of right answers, [points].
        points: control points of the curve, [degree + 1, n]; the two ends of a
            line.
    """

    t: np.ndarray
    losses: np.ndarray
    accuracies: np.ndarray
    points: np.ndarray

    def _inside(self) -> np.ndarray:
        return (self.t >= 0) & (self.t <= 1)

    @property
    def barrier(self) -> float:
        """Highest rise over the straight line between the losses of the ends.

        `max over t in [0, 1] of L(w(t)) - ((1 - t) L(w(0)) + t L(w(1)))`.
        """
        t, losses = self.t[self._inside()], self.losses[self._inside()]
        return float(np.max(losses - ((1 - t) * losses[0] + t * losses[-1])))

    @property
    def highest(self) -> float:
        """Highest loss for t in [0, 1]."""
        return float(self.losses[self._inside()].max())

    def is_monotone(self, tolerance: float = _TOLERANCE) -> bool:
        """Return whether the loss only falls, or only rises, on [0, 1].

        Args:
            tolerance: how far it may go the other way in all.
        """
        losses = self.losses[self._inside()]
        rise = np.max(losses - np.minimum.accumulate(losses))
        fall = np.max(np.maximum.accumulate(losses) - losses)
        return bool(min(rise, fall) <= tolerance)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of the path, without its control points."""
        return {
            "t": self.t.tolist(),
            "loss": self.losses.tolist(),
            "accuracy": self.accuracies.tolist(),
            "barrier": self.barrier,
            "highest": self.highest,
            "monotone": self.is_monotone(),
        }


def interpolate(
    first: weights.Given,
    second: weights.Given,
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    points: int = 29,
    low: float = -0.2,
    high: float = 1.2,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Compute the loss on the line between two networks.

    `w(t) = (1 - t) w_a + t w_b` for all trainable variables. Masks are not
    applied: the line lies in the union of both sets of connections.

    Args:
        first: the network of t = 0; see `weights.of_network`.
        second: the network of t = 1, with the same variables.
        inputs: examples, [n, ...].
        labels: labels, [n].
        points: number of points in [low, high]; 0 and 1 are always among them.
        low: first t, at most 0.
        high: last t, at least 1.
        progress: called after each point with the points done and all points.
        **options: arguments of `loss.Loss`.

    Raises:
        ValueError: the variables of the networks differ.
    """
    a, b = _pair(first, second)
    ends = np.stack([a.vector, b.vector])
    function = loss.Loss(a, inputs, labels, **options)
    return _along(ends, function, _grid(points, low, high), progress)


def bezier(
    first: weights.Given,
    second: weights.Given,
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    degree: int = 2,
    space: Space = "sparse",
    steps: int = 3000,
    rate: float = 0.05,
    step_batch: int = 500,
    points: int = 25,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Find a Bezier curve of low loss between two networks.

    `w(t) = sum_i C(d, i) t^i (1 - t)^(d - i) P_i` begins at `P_0 = w_a` and
    ends at `P_d = w_b`. The inner control points start on the line, and
    minimize the mean of L(w(t)) over t in [0, 1]: each step draws one t and one
    batch, and follows `dL/dP_i = C(d, i) t^i (1 - t)^(d - i) dL/dw` (Garipov et
    al. 2018, section 3.2) by gradient descent with momentum 0.9, at a rate that
    falls from `rate` to a hundredth of it by a cosine. Evci et al. name no
    optimizer for their curves; these settings are ours.

    Args:
        first: the network of t = 0; see `weights.of_network`.
        second: the network of t = 1, with the same variables.
        inputs: examples, [n, ...].
        labels: labels, [n].
        degree: degree d of the curve: 2 for quadratic, 3 for cubic.
        space: "sparse" lets only weights move that are active in either
            network; "dense" all weights.
        steps: number of steps, at least 0.
        rate: first learning rate, above 0.
        step_batch: number of examples of a step.
        points: number of points in [0, 1] at which the loss is computed.
        seed: seed of the t and batches of all steps.
        progress: called with the steps and points done, and all of them.
        **options: arguments of `loss.Loss`.

    Raises:
        ValueError: the variables of the networks differ, or an argument is out
            of range.
    """
    checks.at_least("degree", degree, 1, integer=True)
    checks.one_of("space", space, ("sparse", "dense"))
    checks.at_least("steps", steps, 0, integer=True)
    checks.at_least("step_batch", step_batch, 1, integer=True)
    checks.above("rate", rate, 0)
    t = _grid(points, 0, 1)
    a, b = _pair(first, second)
    function = loss.Loss(a, inputs, labels, **options)
    controls = np.stack(
        [
            (1 - s) * a.vector + s * b.vector
            for s in np.linspace(0, 1, degree + 1)
        ]
    ).astype(np.float32)
    controls[0], controls[-1] = a.vector, b.vector
    free = a.trained | b.trained if space == "sparse" else np.True_
    all_steps = steps + len(t)
    velocity = np.zeros_like(controls[1:-1])
    random = np.random.default_rng(seed)
    for step in range(steps):
        shares = _shares(random.random(), degree).astype(np.float32)
        size = min(step_batch, function.n_examples)
        batch = random.choice(function.n_examples, size, replace=False)
        _, gradient = function.batch_gradient(shares @ controls, batch)
        along = shares[1:-1, None] * np.where(free, gradient, 0)
        velocity = _MOMENTUM * velocity - _rate(step, steps, rate) * along
        controls[1:-1] += velocity
        if progress is not None:
            progress(step + 1, all_steps)

    def after_steps(done: int, _: int) -> None:
        if progress is not None:
            progress(steps + done, all_steps)

    return _along(controls, function, t, after_steps)


def _pair(first, second):
    a, b = weights.of_network(first), weights.of_network(second)
    weights.require_alike(a, b)
    return a, b


def _grid(points: int, low: float, high: float) -> np.ndarray:
    checks.at_least("points", points, 2, integer=True)
    if not (np.isfinite([low, high]).all() and low <= 0 and high >= 1):
        raise ValueError(
            "`low` and `high` must enclose 0 and 1. Received: "
            f"low={low}, high={high}"
        )
    # Rounding would miss the ends of the path by a hair.
    grid = np.round(np.linspace(low, high, points), 12)
    return np.union1d(grid, [0.0, 1.0])


def _shares(t: float, degree: int) -> np.ndarray:
    """Return the Bernstein polynomials of a degree at t, [degree + 1]."""
    return np.array(
        [
            math.comb(degree, i) * t**i * (1 - t) ** (degree - i)
            for i in range(degree + 1)
        ]
    )


def _rate(step: int, steps: int, rate: float) -> float:
    falling = (1 + math.cos(math.pi * step / steps)) / 2
    return rate * (_LAST_RATE + (1 - _LAST_RATE) * falling)


def _along(controls, function, t, progress):
    found = []
    for number, at in enumerate(t.tolist()):
        # In float64, so that the ends are the networks to the last bit.
        point = _shares(at, len(controls) - 1) @ controls.astype(float)
        found.append(function.value(point))
        if progress is not None:
            progress(number + 1, len(t))
    losses, accuracies = np.array(found).T
    return Path(t, losses, accuracies, controls)
