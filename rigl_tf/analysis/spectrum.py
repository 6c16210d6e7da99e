"""The Hessian of the loss, over the weights that a sparse network trains."""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import numpy as np
from scipy import linalg
from scipy.sparse import linalg as sparse_linalg

from rigl_tf import checks
from rigl_tf.analysis import loss
from rigl_tf.analysis import paths
from rigl_tf.analysis import weights

# A matrix of more rows takes minutes and hundreds of megabytes.
_MOST_EXACT = 3000
# Relative width of the Gaussians in the picture of the density.
_KERNEL_WIDTH = 0.01
_TOLERANCE = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of a Hessian.

    Attributes:
        size: number n of trained weights, the rows of the matrix.
        largest: largest eigenvalues, falling.
        smallest: least eigenvalue.
        trace: sum of all eigenvalues, n times the mean eigenvalue of the
            probes; exact if all are known.
        trace_error: standard error of the trace over the probes; 0 if exact.
        nodes: eigenvalues of the quadrature, or all eigenvalues, rising.
        shares: share of the spectrum at each node, positive, of sum 1.
    """

    size: int
    largest: np.ndarray
    smallest: float
    trace: float
    trace_error: float
    nodes: np.ndarray
    shares: np.ndarray

    @property
    def negative_share(self) -> float:
        """Share of negative eigenvalues."""
        # Rounding gives eigenvalues of zero a sign.
        below = self.nodes < -_TOLERANCE * abs(self.largest[0])
        return float(self.shares[below].sum())

    @property
    def ratio(self) -> float:
        """`|least eigenvalue| / largest eigenvalue`: how far from convex."""
        return float(abs(self.smallest) / self.largest[0])

    def density(self, points: int = 500) -> tuple[np.ndarray, np.ndarray]:
        """Return the density of the eigenvalues, smoothed by Gaussians.

        Args:
            points: number of points.

        Returns:
            `(eigenvalues, densities)`, each [points].
        """
        low = min(self.smallest, self.nodes[0])
        high = max(self.largest[0], self.nodes[-1])
        width = _KERNEL_WIDTH * (high - low)
        x = np.linspace(low - 5 * width, high + 5 * width, points)
        bells = np.exp(-(((x[:, None] - self.nodes) / width) ** 2) / 2)
        return x, bells @ self.shares / (width * np.sqrt(2 * np.pi))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers of the spectrum."""
        return {
            "size": self.size,
            "largest": self.largest.tolist(),
            "smallest": self.smallest,
            "trace": self.trace,
            "trace_error": self.trace_error,
            "negative_share": self.negative_share,
            "ratio": self.ratio,
            "nodes": self.nodes.tolist(),
            "shares": self.shares.tolist(),
        }


def hessian(
    network: weights.Given,
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    largest: int = 5,
    steps: int = 60,
    probes: int = 10,
    exact: bool = False,
    seed: int = 0,
    progress: paths.Progress | None = None,
    **options: Any,
) -> Spectrum:
    """Compute the spectrum of the Hessian of the loss.

    The Hessian is that of the loss without regularization, in the coordinates
    that the network trains: active weights, and variables without a mask, as in
    Evci et al. 2022, section 4. Rows of inactive weights would only add zeros.

    Extreme eigenvalues come from ARPACK, the density from stochastic Lanczos
    quadrature with full reorthogonalization (Ghorbani et al. 2019): each probe
    v_1 of random signs gives a tridiagonal matrix with eigenvalues theta_k and
    eigenvectors u_k; the density has the mass (u_k)_1^2 at theta_k, and the
    trace is `n * mean over probes of sum_k (u_k)_1^2 theta_k`.

    Args:
        network: dense or sparse network; see `weights.of_network`.
        inputs: examples, [n, ...].
        labels: labels, [n].
        largest: number of the largest eigenvalues to return, at least 1.
        steps: Lanczos steps of each probe, at least 1.
        probes: number of random probes, at least 2.
        exact: compute the whole matrix, of up to 3,000 rows, and all its
            eigenvalues, instead of probes.
        seed: seed of probes and first vectors.
        progress: called with the products done and their expected number.
        **options: arguments of `loss.Loss`.

    Raises:
        ValueError: an argument is out of range, or the matrix is too large.
    """
    checks.at_least("largest", largest, 1, integer=True)
    checks.at_least("steps", steps, 1, integer=True)
    checks.at_least("probes", probes, 2, integer=True)
    given = weights.of_network(network)
    places = np.flatnonzero(given.trained)
    size = len(places)
    if size <= largest:
        raise ValueError(
            "`largest` must be below the number of trained weights. Received: "
            f"largest={largest}, weights: {size}"
        )
    if exact and size > _MOST_EXACT:
        raise ValueError(
            f"`exact` takes networks of up to {_MOST_EXACT:,} trained weights. "
            f"Received: {size:,}; leave it out"
        )
    function = loss.Loss(given, inputs, labels, **options)
    n_products = size if exact else probes * min(steps, size)
    multiply = _Product(given, function, places, n_products, progress)
    if exact:
        return _exact(multiply, size, largest)
    random = np.random.default_rng(seed)
    return _estimated(multiply, size, largest, steps, probes, random)


class _Product:
    """Multiply the Hessian with a vector of the trained coordinates."""

    def __init__(self, given, function, places, n_products, progress):
        self._given, self._function = given, function
        self._places, self._progress = places, progress
        self._n_products, self._n_done = n_products, 0

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        direction = np.zeros(len(self._given.vector))
        direction[self._places] = np.ravel(vector)
        product = self._function.hessian_product(self._given.vector, direction)[
            self._places
        ]
        self._n_done += 1
        if self._progress is not None:
            done = min(self._n_done, self._n_products)
            self._progress(done, self._n_products)
        return product


def _exact(multiply, size, largest):
    matrix = np.stack([multiply(row) for row in np.eye(size)])
    values = linalg.eigvalsh((matrix + matrix.T) / 2)
    return Spectrum(
        size,
        values[::-1][:largest],
        float(values[0]),
        float(values.sum()),
        0.0,
        values,
        np.full(size, 1 / size),
    )


def _estimated(multiply, size, largest, steps, probes, random):
    nodes, shares, traces = [], [], []
    for _ in range(probes):
        signs = random.choice([-1.0, 1.0], size) / np.sqrt(size)
        theta, mass = _quadrature(multiply, signs, min(steps, size))
        nodes.append(theta)
        shares.append(mass / probes)
        traces.append(size * float(mass @ theta))
    extreme = functools.partial(_extreme, multiply, size, random)
    order = np.argsort(np.concatenate(nodes))
    return Spectrum(
        size,
        extreme("LA", largest)[::-1],
        float(extreme("SA", 1)[0]),
        float(np.mean(traces)),
        float(np.std(traces, ddof=1) / np.sqrt(probes)),
        np.concatenate(nodes)[order],
        np.concatenate(shares)[order],
    )


def _quadrature(
    multiply: Callable[[np.ndarray], np.ndarray], first: np.ndarray, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and shares of one probe, by the Lanczos iteration."""
    basis = [first]
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(steps):
        product = multiply(basis[-1])
        diagonal.append(float(basis[-1] @ product))
        known = np.stack(basis)
        for _ in range(2):  # once leaves rounding errors that grow
            product = product - known.T @ (known @ product)
        length = float(np.linalg.norm(product))
        if length <= _TOLERANCE * max(map(abs, diagonal)) or (
            len(diagonal) == steps
        ):
            break  # the probe lies in the space that was found
        beside.append(length)
        basis.append(product / length)
    theta, vectors = linalg.eigh_tridiagonal(diagonal, beside)
    return theta, vectors[0] ** 2


def _extreme(multiply, size, random, which, count):
    operator = sparse_linalg.LinearOperator((size, size), multiply, dtype=float)
    values = sparse_linalg.eigsh(
        operator,
        k=count,
        which=which,
        v0=random.standard_normal(size),
        tol=1e-5,
        return_eigenvectors=False,
    )
    return np.sort(values)
