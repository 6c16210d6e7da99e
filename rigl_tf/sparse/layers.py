"""A dense layer whose time and memory are those of its connections."""

import math
import typing
import warnings

import keras
import numpy as np
from scipy import sparse
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.sparse import first_values
from rigl_tf.sparse import products
from rigl_tf.sparse import random_positions
from rigl_tf.sparse import structures

# Above, an update might find too few free positions to grow.
LARGEST_DENSITY = 0.5
# The largest kernel that is made dense again.
LARGEST_DENSE = 2**28
_LARGEST_COUNT = 2**31 - 1
# What a configuration holds beside the numbers of units and connections.
_OBJECTS = {
    "activation": keras.activations,
    "kernel_initializer": keras.initializers,
    "bias_initializer": keras.initializers,
    "kernel_regularizer": keras.regularizers,
    "bias_regularizer": keras.regularizers,
    "bias_constraint": keras.constraints,
}


@keras.saving.register_keras_serializable(package="rigl_tf")
class SparseDense(keras.layers.Layer):
    """`activation(x W + b)` with a sparse W that is never stored densely.

    The trainable variable `values` [nnz] holds the active weights in ascending
    positions of W [n_in, units]; where they are is held in index variables. A
    step costs `6 nnz` operations per example instead of `6 n_in units`. Train
    it like any layer: its connections stay where they are; `SparseModel` and
    `SparseTrainer` with RigL, GSE or SET move them.

    Products run on the CPU in float32, on TensorFlow's threads; see
    `rigl_tf.sparse.available`. They cannot be compiled by XLA.

    Args:
        units: number of outputs.
        density: fraction of connections that are active, in (0, 0.5].
        n_active: their number, instead of `density`.
        activation: as of `keras.layers.Dense`, like all that follow.
        use_bias: whether there is a bias.
        kernel_initializer: initializer of the active weights; one that scales
            by the fan takes that of the dense kernel.
        bias_initializer: initializer of the bias.
        kernel_regularizer: regularizer of the active weights.
        bias_regularizer: regularizer of the bias.
        activity_regularizer: regularizer of the outputs.
        bias_constraint: constraint on the bias.
        seed: seed of the first connections.
        **kwargs: as of `keras.layers.Layer`.

    Raises:
        ValueError: neither or both of `density` and `n_active` are given, one
            is out of its range, or the variables would not be float32.

    Example:
        >>> layer = SparseDense(100_000, density=1e-4)
        >>> layer(np.ones((1, 1000))).shape
        TensorShape([1, 100000])
    """

    # Above this density, dense products are as fast; see docs/sparse.md.
    break_even = 0.25
    # Inputs and outputs of what a position stands for: a single weight.
    block = 1

    def __init__(
        self,
        units: int,
        density: float | None = None,
        *,
        n_active: int | None = None,
        activation: typing.Any = None,
        use_bias: bool = True,
        kernel_initializer: typing.Any = "glorot_uniform",
        bias_initializer: typing.Any = "zeros",
        kernel_regularizer: typing.Any = None,
        bias_regularizer: typing.Any = None,
        activity_regularizer: typing.Any = None,
        bias_constraint: typing.Any = None,
        seed: int = 0,
        **kwargs: typing.Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        checks.at_least("units", units, 1, integer=True)
        if (density is None) == (n_active is None):
            raise ValueError(
                "`SparseDense` needs `density` or `n_active`, and not both. "
                f"Received: density={density}, n_active={n_active}"
            )
        if density is not None:
            checks.above("density", density, 0)
            checks.between("density", density, 0, LARGEST_DENSITY)
        else:
            checks.at_least("n_active", n_active, 1, integer=True)
        if self.variable_dtype != "float32":
            raise ValueError(
                "The weights of `SparseDense` are float32: use the dtype "
                '"float32", "mixed_bfloat16" or "mixed_float16". Received: '
                f"{self.dtype_policy.name!r}"
            )
        self.units = units
        self.density: typing.Any = density
        self.n_active: typing.Any = n_active  # until it is built
        self.use_bias = use_bias
        self.seed = seed
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.supports_jit = False
        self.input_spec = keras.layers.InputSpec(min_ndim=2)

    def build(self, input_shape: typing.Any) -> None:
        """Create the variables and draw the first connections."""
        n_in = input_shape[-1]
        self.kernel_shape = (n_in, self.units)
        self.grid_shape = self._grid_shape()
        size = math.prod(self.grid_shape)
        if self.n_active is None:
            self.n_active = max(1, round(self.density * size))
        _require_count(self, size)
        n, self.density = self.n_active, self.n_active / size
        # Not cast under mixed precision: products are float32.
        self.values = self.add_weight(
            name="values",
            shape=(n, *self.unit_shape),
            initializer=first_values.of(
                self.kernel_initializer, self.kernel_shape
            ),
            regularizer=self.kernel_regularizer,
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                autocast=False,
            )
        self.structure_variables = [
            self._index("row_starts", self.grid_shape[0] + 1, "int64"),
            self._index("columns", n, "int32"),
            self._index("column_starts", self.grid_shape[1] + 1, "int64"),
            self._index("rows", n, "int32"),
            self._index("order", n, "int32"),
        ]
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: n_in})
        self.built = True
        self._assign(random_positions.distinct(size, n, self.seed))

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """Shape of what a position stands for, () or that of a block."""
        return () if self.block == 1 else (self.block, self.block)

    def _index(self, name, length, dtype):
        return self.add_weight(
            name=name,
            shape=(length,),
            dtype=dtype,
            initializer="zeros",
            trainable=False,
            autocast=False,
            aggregation="none",  # each replica moves its connections itself
        )

    @property
    def structure(self) -> structures.Structure:
        """Where the connections are, as tensors."""
        # Gradients inside of a loop can take tensors, but no variables.
        return structures.Structure(
            *(tf.convert_to_tensor(v.value) for v in self.structure_variables)
        )

    def call(self, inputs: typing.Any) -> tf.Tensor:
        """Return `activation(x W + b)`, for inputs [..., n_in]."""
        x = tf.cast(inputs, tf.float32)
        shape, n_in = tf.shape(x), self.kernel_shape[0]
        y = self._product(tf.reshape(x, [-1, n_in]))
        if self.bias is not None:
            y += self.bias.value
        if len(x.shape) > 2:
            y = tf.reshape(y, tf.concat([shape[:-1], [self.units]], 0))
            y = tf.ensure_shape(y, [*x.shape[:-1], self.units])
        return self.activation(tf.cast(y, self.compute_dtype))

    def _grid_shape(self):
        """Return the numbers of rows and columns of what is connected."""
        return self.kernel_shape

    def _product(self, x):
        values = tf.convert_to_tensor(self.values.value)
        return products.matmul(x, values, self.structure, self)

    def compute_output_spec(self, inputs: typing.Any) -> keras.KerasTensor:
        """Return shape and type of the outputs, without computing them."""
        shape = (*inputs.shape[:-1], self.units)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def positions(self) -> np.ndarray:
        """Return the flat positions of the connections, ascending.

        Positions in a kernel [n_in, units], or in a grid of blocks.
        """
        return self.structure.positions().numpy()

    def matrix(self) -> sparse.csr_matrix:
        """Return a copy of W as a SciPy matrix [n_in, units]."""
        starts, columns, *_ = (v.numpy() for v in self.structure_variables)
        return sparse.csr_matrix(
            (self.values.numpy(), columns, starts), shape=self.kernel_shape
        )

    def connect(
        self, positions: np.ndarray, values: np.ndarray | None = None
    ) -> None:
        """Assign other connections.

        Args:
            positions: ascending flat positions, see `positions`; as many as
                the layer has.
            values: their weights, or None to leave `values` as they are.

        Raises:
            ValueError: positions are not ascending, occur twice, lie outside
                of the kernel, or are more or fewer.
        """
        self._assign(
            structures.require_positions(
                positions, self.grid_shape, self.n_active
            )
        )
        if values is not None:
            self.values.assign(values)

    def _assign(self, positions):
        arrays = structures.arrays_of(positions, self.grid_shape)
        for variable, array in zip(self.structure_variables, arrays):
            variable.assign(array)

    def save_own_variables(self, store: typing.Any) -> None:
        """Save weights and positions; views by columns follow from these."""
        store["values"] = self.values.numpy()
        store["positions"] = self.positions()
        if self.bias is not None:
            store["bias"] = self.bias.numpy()

    def load_own_variables(self, store: typing.Any) -> None:
        """Load what `save_own_variables` saved."""
        self.connect(
            np.asarray(store["positions"]), np.asarray(store["values"])
        )
        if self.bias is not None:
            self.bias.assign(store["bias"])

    def get_config(self) -> dict[str, typing.Any]:
        """Return the arguments, without the connections."""
        own: dict[str, typing.Any] = {
            "units": self.units,
            "use_bias": self.use_bias,
            "seed": self.seed,
            "n_active": self.n_active,
        }
        if self.n_active is None:
            own["density"] = self.density
        for name, module in _OBJECTS.items():
            own[name] = module.serialize(getattr(self, name))
        regularizer = keras.regularizers.serialize(self.activity_regularizer)
        return {
            **super().get_config(),
            **own,
            "activity_regularizer": regularizer,
        }


def _require_count(layer, size):
    """Raise ValueError, or warn, if a layer cannot have so many connections."""
    n_active, (n_in, n_out) = layer.n_active, layer.grid_shape
    most = min(_LARGEST_COUNT, int(LARGEST_DENSITY * size))
    if not 1 <= n_active <= most:
        raise ValueError(
            f"`{type(layer).__name__}` of {n_in} x {n_out} takes 1 to {most:,} "
            "connections, at most half of all and below 2^31; use a dense or "
            f"masked layer for more. Received: {n_active:,} in {layer.name!r}"
        )
    density, highest = n_active / size, layer.break_even
    if density > highest:
        warnings.warn(
            f"{layer.name!r} has a density of {density:.2f}: above about "
            f"{highest} a dense layer is faster (here about "
            f"{density / highest:.1f} times); use `keras.layers.Dense` or a "
            "masked layer",
            stacklevel=3,
        )
