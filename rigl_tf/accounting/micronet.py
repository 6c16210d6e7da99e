"""The counting rule of the published tables, including its peculiarities.

RigL's tables count as the MicroNet challenge of 2019 did: a convolution or
dense layer with L weights per output and O outputs costs `2 L (1 - s^l) O + O`,
as if every layer had a bias and a ReLU; normalization, pooling and shortcuts
cost nothing. Sizes are 32 bits per active weight, one bit of mask per weight of
a sparse kernel, and a bias of 32 bits per channel; s^l is used directly,
without rounding to a whole number of weights. A convolution has
`ceil((n - k + 1 + 2 (k // 2)) / d)` outputs per dimension, for n inputs that
include explicit padding: the first convolution of ResNet-50 is counted at
115x115 instead of 112x112.

Reference: Evci et al. 2020, appendix H; google-research/rigl, `sparse_utils`.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import math
from typing import Any
from typing import cast

import keras

from rigl_tf.accounting import costs
from rigl_tf.accounting import exact
from rigl_tf.accounting import trace
from rigl_tf.layers import candidates
from rigl_tf.layers import model_paths

_BYTES = 4


@dataclasses.dataclass(frozen=True)
class LayerShape:
    """The properties of a layer that the rule uses.

    Attributes:
        path: structural path of the kernel.
        kind: "Conv2D", "DepthwiseConv2D" or "Dense".
        kernel: shape of the kernel.
        input_size: height (and width) of the input, including padding; 1 for
            dense layers.
        stride: stride of the convolution.
    """

    path: str
    kind: str
    kernel: tuple[int, ...]
    input_size: int = 1
    stride: int = 1

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.kernel)

    @property
    def n_channels(self) -> int:
        """Number of output channels."""
        return self.kernel[-2 if self.kind == "DepthwiseConv2D" else -1]

    @property
    def n_positions(self) -> int:
        """Number of positions at which the kernel is applied."""
        if self.kind == "Dense":
            return 1
        size = self.kernel[0]
        outputs = self.input_size - size + 1 + 2 * (size // 2)
        return math.ceil(outputs / self.stride) ** 2

    @property
    def n_outputs(self) -> int:
        """Number of outputs, over all positions and channels."""
        return self.n_positions * self.n_channels


def layer_shapes(
    model: keras.Layer, input_shapes: Any = None
) -> list[LayerShape]:
    """List the `LayerShape` of each kernel of a model, in the order of calls.

    Args:
        model: built Keras model of square images.
        input_shapes: shape of one example, see `accounting.count`.

    Raises:
        ValueError: if the rule does not cover a layer; the message names it.
    """
    _, calls = trace.trace(model, input_shapes)
    paths = {id(layer): path for path, layer in model_paths.walk(model)}
    shapes: list[LayerShape] = []
    for call in calls:
        layer, path = call.layer, paths[id(call.layer)]
        if not _has_own_kernel(layer):
            continue
        kind = type(layer).__name__
        kernel = f"{path}/kernel".lstrip("/")
        is_twice = any(shape.path == kernel for shape in shapes)
        if is_twice or not _is_covered(layer, call.input_shape):
            raise ValueError(
                "The published rule covers Conv2D, DepthwiseConv2D and Dense "
                "only, each used once, on square images or vectors, without "
                "dilation, groups or the like: count with rule='exact'. "
                f"Received: layer {path!r} of type {kind}"
            )
        shape = LayerShape(kernel, kind, tuple(layer.kernel.shape))
        if kind != "Dense":
            shape = dataclasses.replace(
                shape,
                input_size=cast(int, call.input_shape[0]),  # it is traced
                stride=layer.strides[0],
            )
        shapes.append(shape)
    return shapes


def _is_covered(layer, input_shape):
    """Return whether the rule covers a layer."""
    plain = not getattr(layer, "lora_enabled", False)
    plain &= getattr(layer, "quantization_mode", None) is None
    if type(layer) is keras.layers.Dense:
        return plain and len(input_shape) == 1
    if type(layer) not in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D):
        return False
    return (
        plain
        and layer.data_format == "channels_last"
        and input_shape[0] == input_shape[1]
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.strides[0] == layer.strides[1]
        and set(layer.dilation_rate) == {1}
        and getattr(layer, "groups", 1) == 1
        and getattr(layer, "depth_multiplier", 1) == 1
    )


def widened(
    shapes: Iterable[LayerShape],
    width: float,
    first: str = "conv1",
    last: str = "fc",
) -> list[LayerShape]:
    """Multiply the channels of a network by `width`, rounding down.

    Args:
        shapes: list of `LayerShape`.
        width: positive factor.
        first: prefix of the paths of the first layers, whose inputs are kept.
        last: prefix of the paths of the last layers, whose outputs are kept.
    """

    def scaled(channels, keep):
        return channels if keep or channels == 1 else int(channels * width)

    return [
        dataclasses.replace(
            shape,
            kernel=(
                *shape.kernel[:-2],
                scaled(shape.kernel[-2], shape.path.startswith(first)),
                scaled(shape.kernel[-1], shape.path.startswith(last)),
            ),
        )
        for shape in shapes
    ]


def totals(
    shapes: Iterable[LayerShape], sparsities: Mapping[str, float] | None = None
) -> tuple[float, float]:
    """Return `(flops, bytes)` of a network.

    Args:
        shapes: list of `LayerShape`.
        sparsities: optional dictionary from path to sparsity s^l, in [0, 1).
    """
    flops: float = 0
    n_bytes: float = 0
    for shape in shapes:
        density = 1 - (sparsities or {}).get(shape.path, 0.0)
        n_active = density * shape.size
        flops += 2 * n_active * shape.n_positions + shape.n_outputs
        n_bytes += _BYTES * (n_active + shape.n_channels)
        # Not rounded up to whole bytes, unlike `encodings.bitmask_bytes`.
        n_bytes += shape.size / 8 if density < 1 else 0
    return flops, n_bytes


def count(
    model: keras.Layer,
    *,
    sparsities: Mapping[str, float] | None = None,
    input_shapes: Any = None,
) -> costs.ModelCount:
    """Count a model by the published rule.

    A sparsity is used directly, without rounding to a whole number of weights.

    See `accounting.count` for the arguments, the result and the errors.
    """
    shapes = layer_shapes(model, input_shapes)
    if sparsities:
        exact.active_weights(model, sparsities, ())  # checks them
        densities = {path: 1 - s for path, s in sparsities.items()}
    else:
        by_path = model_paths.variables_by_path(model)
        ids = {shape.path: id(by_path[shape.path]) for shape in shapes}
        active = exact.active_weights(model, {}, ids.values())
        densities = {
            shape.path: active.get(ids[shape.path], shape.size) / shape.size
            for shape in shapes
        }
    return costs.ModelCount(
        tuple(_layer_count(s, densities.get(s.path, 1.0)) for s in shapes)
    )


def _layer_count(shape, density):
    """Return the cost of a layer as a `LayerCount`."""
    kernel = costs.KernelCount(
        shape.path,
        shape.kernel,
        density * shape.size,
        shape.n_positions,
        _BYTES,
    )
    return costs.LayerCount(
        shape.path.rpartition("/")[0],
        shape.kind,
        (kernel,),
        shape.n_channels,
        _BYTES * shape.n_channels,
        # A ReLU counts as a multiplication. A bias adds the one addition that
        # a dot product of n terms saves.
        other_multiplications=shape.n_outputs,
    )


def _has_own_kernel(layer):
    return any(
        len(variable.shape) >= 2 and candidates.decays(variable)
        for variable in model_paths.own_variables(layer)
    )
