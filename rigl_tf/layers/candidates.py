"""Find the kernels of a model: weights that data are multiplied with.

The kernels of Keras' own layers are known by name. For other layers, the graph
of the model is searched: a weight is followed through operations on weights and
constants only (slices, standardization, sums with other weights) until an
operation combines it with the data. It is a kernel if that is a product or a
convolution.
"""

from collections.abc import Iterable
import dataclasses

import keras
import tensorflow as tf

from rigl_tf.layers import graphs
from rigl_tf.layers import model_paths
from rigl_tf.sparse import layers as sparse_layers

# Layers without kernels.
_NO_KERNEL_LAYERS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
    keras.layers.UnitNormalization,
    keras.layers.PReLU,
)
_NO_KERNEL_NAMES = ("bias", "gamma", "beta")
# Layers whose kernels are masked only on request.
_DENSE_LAYERS = (
    keras.layers.Embedding,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
_DENSE_NAMES = ("depthwise", "embedding")
_PRODUCTS = frozenset(
    "BatchMatMul BatchMatMulV2 BatchMatMulV3 Conv Conv2D Conv2DBackpropInput"
    " Conv3D Conv3DBackpropInputV2 DepthwiseConv2dNative Einsum MatMul"
    " SparseTensorDenseMatMul".split()
)
# Operations whose results depend only on the shape of the data.
_SHAPES = frozenset("OnesLike Rank Shape ShapeN Size ZerosLike".split())
# Attributes with the names of the functions that an operation calls.
_CALLS = {
    "If": ("then_branch", "else_branch"),
    "PartitionedCall": ("f",),
    "StatefulPartitionedCall": ("f",),
    "StatelessIf": ("then_branch", "else_branch"),
}


@dataclasses.dataclass(frozen=True)
class _Value:
    """Origin of a tensor: the ids of its weights, and whether data enter it."""

    weights: frozenset[int] = frozenset()
    varies: bool = False


_CONSTANT, _DATA = _Value(), _Value(varies=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A kernel that can have a mask.

    Attributes:
        path: structural path of the kernel.
        kernel: the variable.
        layer: the layer that owns it.
        around: `(structural path, layer)` of this layer and of the layers
            around it, such as the GRU around a cell, without the whole model.
        why_dense: reason why it is not masked by default, or None: embeddings,
            depthwise kernels, and weights that no product uses.
    """

    path: str
    kernel: keras.Variable
    layer: keras.Layer
    around: tuple[tuple[str, keras.Layer], ...]
    why_dense: str | None

    @property
    def by_default(self) -> bool:
        """Whether the kernel is masked unless it is deselected."""
        return self.why_dense is None


def candidates(layer: keras.Layer) -> list[Candidate]:
    """List the kernels of a built layer that can have masks.

    These are trainable variables of rank 2 or more, including recurrent
    kernels, but no biases (those of attention have rank 2) and no parameters of
    normalization.

    Args:
        layer: built Keras layer or model; sublayers are searched too.
    """
    walked = list(model_paths.walk(layer))
    owners: dict[int, tuple[str, keras.Layer]] = {}
    for path, inner in walked:
        for variable in model_paths.own_variables(inner):
            owners.setdefault(id(variable), (path, inner))
    possible = [
        (path, variable, *owners[id(variable)])
        for path, variable in model_paths.variables_by_path(layer).items()
        if why_no_kernel(variable, owners[id(variable)][1]) is None
    ]
    reasons = why_dense(
        layer, [(variable, owner) for _, variable, _, owner in possible]
    )
    return [
        Candidate(
            path,
            variable,
            owner,
            tuple(
                (outer_path, outer)
                for outer_path, outer in walked
                if outer is owner
                or (outer_path and owner_path.startswith(f"{outer_path}/"))
            ),
            reasons.get(id(variable)),
        )
        for path, variable, owner_path, owner in possible
    ]


def maskable_kernels(layer: keras.Layer) -> dict[str, keras.Variable]:
    """Map paths to the kernels that are masked by default.

    Args:
        layer: built Keras layer or model; sublayers are searched too.
    """
    return {c.path: c.kernel for c in candidates(layer) if c.by_default}


def decays(variable: keras.Variable) -> bool:
    """Return whether L2 regularization applies to a trainable variable.

    It applies to kernels of every kind: rank 2 or more and not a bias.
    """
    return len(variable.shape) >= 2 and "bias" not in variable.name


def why_no_kernel(variable: keras.Variable, owner: keras.Layer) -> str | None:
    """Return why a variable cannot have a mask, or None if it can.

    See `candidates` for the rule.

    Args:
        variable: the variable.
        owner: the layer that owns it.
    """
    if not variable.trainable:
        return "not trainable"
    if isinstance(owner, sparse_layers.SparseDense):
        return "truly sparse"
    if "lora_" in variable.name and getattr(owner, "lora_enabled", False):
        return "low-rank factor, merged into the kernel when saved"
    if (
        len(variable.shape) < 2
        or isinstance(owner, _NO_KERNEL_LAYERS)
        or any(name in variable.name for name in _NO_KERNEL_NAMES)
    ):
        return "no kernel"
    return None


def why_dense(
    root: keras.Layer, weights: Iterable[tuple[keras.Variable, keras.Layer]]
) -> dict[int, str]:
    """Map ids of weights to the reasons why they are not masked by default.

    Args:
        root: built Keras model or layer.
        weights: `(variable, layer that owns it)` of the weights in question.

    Returns:
        A dictionary from the ids of weights to reasons; weights that are masked
        by default are absent.
    """
    found: dict[int, str] = {}
    unknown = []
    for variable, owner in weights:
        if isinstance(owner, _DENSE_LAYERS) or any(
            name in variable.name for name in _DENSE_NAMES
        ):
            found[id(variable)] = "embedding or depthwise kernel"
        elif type(owner).__module__.split(".")[0] != "keras":
            unknown.append(variable)
    if unknown:
        found |= _without_product(root, unknown)
    return found


def _without_product(root, variables):
    """Find the weights that no product or convolution multiplies with.

    If the model cannot be traced, weights with a leading dimension of 1 are
    returned: they are broadcast, like positions and class tokens.

    Args:
        root: built Keras model or layer.
        variables: weights of rank 2 or more in it, of layers that are not
            Keras' own.

    Returns:
        A dictionary from the id of a variable to the reason.
    """
    recorded, reason = _record(root)
    if recorded is None:
        return {
            id(variable): f"leading dimension 1, and not traced ({reason})"
            for variable in variables
            if variable.shape[0] == 1
        }
    holders = {
        id(variable): layer
        for _, layer in model_paths.walk(root)
        for variable in model_paths.own_variables(layer)
    }
    values = {id(tensor): _DATA for tensor in recorded.graph.inputs}
    for _, tensor in recorded.graph.captures:
        variable = recorded.variables.get(id(tensor))
        weights = () if variable is None else (id(variable),)
        values[id(tensor)] = _Value(frozenset(weights))
    found = set()
    _follow(recorded, recorded.graph, root, values, holders, found)
    return {
        id(variable): "no product or convolution uses it"
        for variable in variables
        if id(variable) not in found
    }


def _record(root):
    """Trace a model; return `(graphs.Recorded, None)` or `(None, reason)`."""
    inputs = graphs.own_inputs(root)
    if inputs is None:
        return None, "the shapes of its inputs are unknown"
    # A model that was built from shapes has no input types: try tokens too.
    for integers in (False, True):
        specs = keras.tree.map_structure(
            lambda x: tf.TensorSpec(x.shape, "int32" if integers else x.dtype),
            inputs,
        )
        try:
            return graphs.record(root, specs), None
        except Exception as error:  # a custom `call` may raise any error
            reason = f"{type(error).__name__} in its call"
    return None, reason


def _follow(recorded, graph, layer, values, holders, found):
    """Add to `found` the ids of the weights that products multiply with.

    Args:
        recorded: `graphs.Recorded`.
        graph: graph of the model, or of a function that it calls.
        layer: owner of the operations that no layer recorded.
        values: dictionary from the ids of the graph's inputs to `_Value`;
            the other tensors are added.
        holders: dictionary from the ids of variables to their layers.
        found: set that is extended.
    """
    owners = recorded.owners(graph, layer)
    for owner, operation in zip(owners, graph.get_operations()):
        given = [values.get(id(t), _CONSTANT) for t in operation.inputs]
        results = None
        if operation.type in _PRODUCTS:
            found |= _multiplied(given, owner, holders)
            made = _Value(varies=any(value.varies for value in given))
        elif operation.type in _SHAPES:
            made = _CONSTANT
        elif operation.type in graphs.LOOPS or operation.type in _CALLS:
            made = _DATA
            results = _follow_inside(
                recorded, operation, owner, given, holders, found
            )
        elif any(value.varies for value in given):
            made = _DATA
        else:
            made = _Value(frozenset().union(*(v.weights for v in given)))
        for index, tensor in enumerate(operation.outputs):
            if id(tensor) not in values:
                values[id(tensor)] = results[index] if results else made


def _multiplied(given, owner, holders):
    """Return the weights that a product multiplies with.

    Both operands may consist of weights only. Then weights of the layer that
    multiplies are kernels; a token that another layer projects is not.
    """
    found = set()
    for index, value in enumerate(given):
        others = given[:index] + given[index + 1 :]
        by_data = any(other.varies for other in others)
        found |= {
            weight
            for weight in value.weights
            if not value.varies and (by_data or holders.get(weight) is owner)
        }
    return found


def _follow_inside(recorded, operation, owner, given, holders, found):
    """Follow weights into a loop or call; return the values of its results."""
    if operation.type in graphs.LOOPS:
        body = graphs.inner(operation, "body")
        kept = [
            _origin(after) is before
            for before, after in zip(body.inputs, body.outputs)
        ]
        # What a loop changes, such as a state, is a weight only at first.
        given = [v if same else _DATA for v, same in zip(given, kept)]
        values = {id(t): v for t, v in zip(body.inputs, given)}
        _follow(recorded, body, owner, values, holders, found)
        return given
    for name in _CALLS[operation.type]:
        graph = graphs.inner(operation, name)
        # The first operand of a branch is its condition.
        operands = given[len(given) - len(graph.inputs) :]
        values = {id(t): v for t, v in zip(graph.inputs, operands)}
        _follow(recorded, graph, owner, values, holders, found)
    return [values.get(id(t), _CONSTANT) for t in graph.outputs]


def _origin(tensor):
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor
