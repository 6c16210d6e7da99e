"""Results of counting: what a kernel, a layer and a model cost."""

import dataclasses
import math

from rigl_tf.accounting import encodings


@dataclasses.dataclass(frozen=True)
class KernelCount:
    """A kernel, or another weight that operands are multiplied with.

    Attributes:
        path: structural path.
        shape: of the kernel.
        n_active: number of active weights.
        uses: multiplications of each weight in one inference.
        itemsize: bytes of a weight.
    """

    path: str
    shape: tuple
    n_active: int
    uses: float
    itemsize: int

    @property
    def size(self):
        """Number of weights."""
        return math.prod(self.shape)


@dataclasses.dataclass(frozen=True)
class LayerCount:
    """What one layer costs: without what its sublayers cost.

    Attributes:
        path: structural path, "" for the model itself.
        type: name of its class.
        kernels: tuple of `KernelCount`.
        other_parameters: number of parameters outside of kernels.
        other_bytes: their bytes.
        other_multiplications: multiplications that no zero weight saves.
        other_additions: additions that no zero weight saves.
    """

    path: str
    type: str
    kernels: tuple = ()
    other_parameters: int = 0
    other_bytes: int = 0
    other_multiplications: float = 0
    other_additions: float = 0

    @property
    def shape(self):
        """Shapes of the kernels, e.g. "3x3x64x64"."""
        return ", ".join("x".join(map(str, k.shape)) for k in self.kernels)

    @property
    def parameters(self):
        """Number of parameters."""
        return sum(k.size for k in self.kernels) + self.other_parameters

    @property
    def active(self):
        """Number of active parameters."""
        return sum(k.n_active for k in self.kernels) + self.other_parameters

    @property
    def multiplications(self):
        """Multiplications of one inference, without those by zero weights."""
        return self._products + self.other_multiplications

    @property
    def additions(self):
        """Additions of one inference, without those for zero weights."""
        return self._products + self.other_additions

    @property
    def _products(self):
        return sum(k.n_active * k.uses for k in self.kernels)

    @property
    def flops(self):
        """Multiplications and additions."""
        return self.multiplications + self.additions

    @property
    def bytes(self):
        """Bytes with sparse kernels as bit mask and active weights."""
        packed = sum(
            encodings.bitmask_bytes(k.size, k.n_active, k.itemsize)
            for k in self.kernels
        )
        return packed + self.other_bytes

    @property
    def csr_bytes(self):
        """Bytes with sparse kernels in compressed sparse rows."""
        packed = sum(
            encodings.csr_bytes(k.shape, k.n_active, k.itemsize)
            for k in self.kernels
        )
        return packed + self.other_bytes

    @property
    def dense(self):
        """The same layer with all weights active."""
        kernels = tuple(
            dataclasses.replace(k, n_active=k.size) for k in self.kernels
        )
        return dataclasses.replace(self, kernels=kernels)


@dataclasses.dataclass(frozen=True)
class ModelCount:
    """What a model costs, per example: the sums over its layers.

    Attributes:
        layers: tuple of `LayerCount`, in the order of the layers.
    """

    layers: tuple

    def __getattr__(self, name):
        """Sum an attribute of `LayerCount` over the layers."""
        if name not in TOTALS:
            raise AttributeError(name)
        return sum(getattr(layer, name) for layer in self.layers)

    @property
    def dense(self):
        """The same model with all weights active."""
        return ModelCount(tuple(layer.dense for layer in self.layers))


TOTALS = (
    "parameters",
    "active",
    "multiplications",
    "additions",
    "flops",
    "bytes",
    "csr_bytes",
)
