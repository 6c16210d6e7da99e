"""Count a model: operations of one inference, parameters and bytes."""

import collections
import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from rigl_tf.accounting import operations
from rigl_tf.accounting import sizes
from rigl_tf.accounting import trace
from rigl_tf.layers import candidates
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masked
from rigl_tf.layers import model_paths
from rigl_tf.masks import counts


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
            sizes.bitmask_bytes(k.size, k.n_active, k.itemsize)
            for k in self.kernels
        )
        return packed + self.other_bytes

    @property
    def csr_bytes(self):
        """Bytes with sparse kernels in compressed sparse rows."""
        packed = sum(
            sizes.csr_bytes(k.shape, k.n_active, k.itemsize)
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


def count(model, *, sparsities=None, input_shapes=None):
    """Count the operations of one inference, the parameters and the bytes.

    Sizes are the true ones: of the tensors as they flow, biases and activations
    where there are some, normalisation and shortcuts included. See
    `accounting.operations` for what counts, `accounting.published` for the rule
    of the published tables.

    Args, result and errors: as `accounting.count`.
    """
    uses, _ = trace.trace(model, input_shapes)
    others = collections.defaultdict(operations.Cost)
    products = collections.Counter()
    for use in uses:
        cost = _cost(use, model)
        if cost.is_product and use.variable is not None:
            products[id(use.variable)] += use.repeats * cost.multiplications
        else:
            others[id(use.layer)] += cost.times(use.repeats)
    active = active_weights(model, sparsities or {}, products)
    seeds = model_paths.seed_states(model)
    names = {
        id(variable): path
        for path, variable in model_paths.variables_by_path(model).items()
        if path not in seeds
    }
    counted = [
        _layer(path, layer, others[id(layer)], products, active, names)
        for path, layer in model_paths.walk(model)
        if not isinstance(layer, masked.Masked)
    ]
    return ModelCount(
        tuple(item for item in counted if item.parameters or item.flops)
    )


def _cost(use, model):
    try:
        return operations.cost(use.operation)
    except NotImplementedError as error:
        reason = (
            f"its operation {error} is not counted. Add a function of the "
            "operation to `accounting.operations.COSTS`"
        )
    except ValueError as error:
        reason = str(error)
    (path,) = (path for path, la in model_paths.walk(model) if la is use.layer)
    raise ValueError(
        f"Nobody knows what layer {path or use.layer.name!r} "
        f"({type(use.layer).__name__}) costs: {reason}"
    )


def _layer(path, layer, other, products, active, names):
    """Count a layer; take its variables out of `names`: each counts once."""
    kernels, parameters, n_bytes = [], 0, 0
    for variable in model_paths.own_variables(layer):
        name = names.pop(id(variable), None)
        if name is None:
            continue
        size = math.prod(variable.shape)
        itemsize = tf.as_dtype(variable.dtype).size
        if id(variable) in products or id(variable) in active:
            kernels.append(
                KernelCount(
                    name,
                    tuple(variable.shape),
                    active.get(id(variable), size),
                    products[id(variable)] / max(size, 1),
                    itemsize,
                )
            )
        else:
            parameters += size
            n_bytes += size * itemsize
    return LayerCount(
        path,
        type(layer).__name__,
        tuple(kernels),
        parameters,
        n_bytes,
        other.multiplications,
        other.additions,
    )


def active_weights(model, sparsities, used):
    """Map ids of variables to numbers of active weights, where not all are.

    Args:
        model: built Keras model.
        sparsities: as in `count`.
        used: ids of variables that count as kernels.
    """
    by_path = model_paths.variables_by_path(model)
    unknown = sparsities.keys() - by_path.keys()
    if unknown:
        raise ValueError(
            f"`sparsities` names no weight: {min(unknown)!r}. The weights are: "
            f"{', '.join(by_path)}"
        )
    active = {
        id(by_path[path]): counts.n_ones(math.prod(by_path[path].shape), s)
        for path, s in sparsities.items()
    }
    if sparsities:
        return active
    if any(isinstance(la, masked.Masked) for _, la in model_paths.walk(model)):
        return {
            id(item.kernel): int(np.count_nonzero(item.mask.numpy()))
            for item in kernel_masks.masked_kernels(model)
        }
    maskable = {id(v) for v in candidates.maskable_kernels(model).values()}
    return {
        id(variable): _n_nonzero(variable)
        for variable in by_path.values()
        if id(variable) in maskable or id(variable) in used
    }


def _n_nonzero(kernel):
    """Count the weights that are not zero, unless initialisation drew it."""
    size = math.prod(kernel.shape)
    n_active = int(np.count_nonzero(keras.ops.convert_to_numpy(kernel)))
    return n_active if size / 100 <= size - n_active < size else size
