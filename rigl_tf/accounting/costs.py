"""Results of counting: the costs of a kernel, a layer and a model."""

import dataclasses
import math
from typing import Any

from rigl_tf.accounting import encodings


@dataclasses.dataclass(frozen=True)
class KernelCount:
    """Costs of a kernel, or of another weight that is a factor of products.

    Attributes:
        path: structural path.
        shape: shape of the kernel.
        n_active: number of active weights; a fraction in counts by the
            published rule.
        uses: number of multiplications with each weight in one inference.
        itemsize: bytes of a weight.
    """

    path: str
    shape: tuple[int, ...]
    n_active: float
    uses: float
    itemsize: int

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class LayerCount:
    """Costs of a layer, without those of its sublayers.

    Attributes:
        path: structural path, "" for the model itself.
        type: name of its class.
        kernels: costs of its kernels.
        other_parameters: number of parameters outside of kernels.
        other_bytes: bytes of these parameters.
        other_multiplications: multiplications that zero weights do not save.
        other_additions: additions that zero weights do not save.
    """

    path: str
    type: str
    kernels: tuple[KernelCount, ...] = ()
    other_parameters: int = 0
    other_bytes: int = 0
    other_multiplications: float = 0
    other_additions: float = 0

    @property
    def shape(self) -> str:
        """Shapes of the kernels, e.g. "3x3x64x64"."""
        return ", ".join("x".join(map(str, k.shape)) for k in self.kernels)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(k.size for k in self.kernels) + self.other_parameters

    @property
    def active(self) -> float:
        """Number of active parameters."""
        return sum(k.n_active for k in self.kernels) + self.other_parameters

    @property
    def multiplications(self) -> float:
        """Multiplications of one inference, except those by zero weights."""
        return self._products + self.other_multiplications

    @property
    def additions(self) -> float:
        """Additions of one inference, except those for zero weights."""
        return self._products + self.other_additions

    @property
    def _products(self):
        return sum(k.n_active * k.uses for k in self.kernels)

    @property
    def flops(self) -> float:
        """Multiplications and additions."""
        return self.multiplications + self.additions

    @property
    def bytes(self) -> float:
        """Bytes, with sparse kernels as bit mask and active weights."""
        packed = sum(
            encodings.bitmask_bytes(k.size, k.n_active, k.itemsize)
            for k in self.kernels
        )
        return packed + self.other_bytes

    @property
    def csr_bytes(self) -> float:
        """Bytes, with sparse kernels in compressed sparse rows."""
        packed = sum(
            encodings.csr_bytes(k.shape, k.n_active, k.itemsize)
            for k in self.kernels
        )
        return packed + self.other_bytes

    @property
    def dense(self) -> "LayerCount":
        """The same layer with all weights active."""
        kernels = tuple(
            dataclasses.replace(k, n_active=k.size) for k in self.kernels
        )
        return dataclasses.replace(self, kernels=kernels)


@dataclasses.dataclass(frozen=True)
class ModelCount:
    """Costs of a model per example: the sums over its layers.

    Attributes:
        layers: costs of the layers, in their order.
    """

    layers: tuple[LayerCount, ...]

    def __getattr__(self, name: str) -> Any:
        """Sum an attribute of `LayerCount` over the layers, see `TOTALS`."""
        if name not in TOTALS:
            raise AttributeError(name)
        return sum(getattr(layer, name) for layer in self.layers)

    @property
    def dense(self) -> "ModelCount":
        """The same model with all weights active."""
        return ModelCount(tuple(layer.dense for layer in self.layers))


# Attributes of `LayerCount` that `ModelCount` sums.
TOTALS = (
    "parameters",
    "active",
    "multiplications",
    "additions",
    "flops",
    "bytes",
    "csr_bytes",
)
