"""The wrapper that gives a layer's kernels their masks."""

import dataclasses
import inspect
import warnings

import keras

from rigl_tf import constraints
from rigl_tf import kernels
from rigl_tf import shapes
from rigl_tf import structure

# The last axes of these are not inputs and outputs: no mask shapes for them.
OTHER_AXES = (
    keras.layers.EinsumDense,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)


@keras.saving.register_keras_serializable(package="rigl_tf")
class Masked(keras.layers.Wrapper):
    """Own one mask for each maskable kernel of the layer inside.

    The wrapper does no arithmetic: inactive weights *are* zero, so the layer
    inside computes what it always did, and the gradient of a kernel is the
    dense gradient. Masks are non-trainable variables, saved and loaded with
    the model.

    Args:
        layer: layer, or whole model, with at least one maskable kernel.
        sparsities: optional dictionary from the path of a kernel inside the
            layer to its target sparsity, kept with the masks.
        mask_shape: shape of the masks, see `shapes.get`; kept with them.
        **kwargs: as `keras.layers.Layer`; name and dtype default to those of
            `layer`.
    """

    transparent_path = True

    def __init__(
        self, layer, sparsities=None, mask_shape="unstructured", **kwargs
    ):
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self.sparsities = dict(sparsities or {})
        self.mask_shape = shapes.get(mask_shape)
        # Keras reads from signatures which shapes to build with, and whether
        # to pass `training`, `mask` or `initial_state` on.
        self.build.__signature__ = inspect.signature(layer.build)
        _call_alike(self, layer)

    def build(self, *args, **kwargs):
        """Build the layer inside, if needed, and one mask of ones per kernel.

        Raises:
            ValueError: the layer has no maskable kernel.
        """
        if not self.layer.built:
            self.layer.build(*args, **kwargs)
            self.layer.built = True
        # A loaded layer may be frozen: its targets say which kernels it masks.
        found = structure.variables_by_path(self.layer)
        paths = [path for path in self.sparsities if path in found]
        self._kernel_paths = paths or list(maskable_kernels(self.layer))
        kernels = {path: found[path] for path in self._kernel_paths}
        if not kernels:
            raise ValueError(
                "`Masked` needs a layer with a kernel of rank 2 or more; and "
                "with a `build` of its own, if it calls layers on several "
                f"inputs. Received: {self.layer.name!r} "
                f"({type(self.layer).__name__})"
            )
        for path, kernel in kernels.items():
            mask = self.add_weight(
                name=_mask_attribute(path),
                shape=kernel.shape,
                dtype=kernel.dtype,
                initializer="ones",
                trainable=False,
                autocast=False,
                # Each replica writes its own copy: updates are computed from
                # reduced gradients and stateless randomness alone.
                aggregation="none",
            )
            setattr(self, _mask_attribute(path), mask)
            kernel.constraint = constraints.MaskConstraint(
                mask, kernel.constraint
            )
        self.built = True

    @property
    def metrics(self):
        """None: Keras finds those of a layer inside on its own.

        Those that a compiled model inside keeps for its training are no
        business of the training around it.
        """
        return []

    def call(self, *args, **kwargs):
        """Call the layer inside, unchanged."""
        return self.layer(*args, **kwargs)

    def compute_mask(self, *args, **kwargs):
        """Return the layer's own mask of time steps."""
        return self.layer.compute_mask(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        """Return what the layer inside would return."""
        return self.layer.compute_output_spec(*args, **kwargs)

    def get_build_config(self):
        """Return the build configuration of the layer inside."""
        return self.layer.get_build_config()

    def build_from_config(self, config):
        """Build the layer inside, if needed, and the masks."""
        build_inside(self.layer, config)
        self.build()

    def get_config(self):
        """Return the configuration, targets included."""
        config = super().get_config()
        config["layer"].pop("build_config", None)  # `build_inside` builds it
        return {
            **config,
            "sparsities": dict(self.sparsities),
            "mask_shape": str(self.mask_shape),
        }

    def masked(self):
        """List `(path inside the layer, kernel, mask)` of each kernel."""
        found = structure.variables_by_path(self.layer)
        return [
            (path, found[path], getattr(self, _mask_attribute(path)))
            for path in self._kernel_paths
        ]


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A kernel that a mask is possible for.

    Attributes:
        path: structural path of the kernel.
        kernel: `keras.Variable`.
        layer: the layer that holds it.
        around: `(structural path, layer)` of this layer and of those around
            it, such as the GRU around a cell, but not of the whole model.
        why_dense: why it is not masked unless somebody asks for it, or None:
            embeddings, depthwise kernels, and what no product uses.
    """

    path: str
    kernel: keras.Variable
    layer: keras.layers.Layer
    around: tuple
    why_dense: str | None

    @property
    def by_default(self):
        """Whether it is masked unless somebody says otherwise."""
        return self.why_dense is None


def candidates(layer):
    """List the kernels of a built layer that masks are possible for.

    Trainable variables of rank 2 or more, recurrent kernels too; not biases
    (those of attention have rank 2) and normalisation.

    Args:
        layer: built Keras layer; sublayers are searched too.

    Returns:
        list of `Candidate`.
    """
    owners, walked = {}, list(structure.walk(layer))
    for path, inner in walked:
        for variable in structure.own_variables(inner):
            owners.setdefault(id(variable), (path, inner))
    possible = [
        (path, variable, *owners[id(variable)])
        for path, variable in structure.variables_by_path(layer).items()
        if kernels.why_no_kernel(variable, owners[id(variable)][1]) is None
    ]
    why_dense = kernels.why_dense(
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
            why_dense.get(id(variable)),
        )
        for path, variable, owner_path, owner in possible
    ]


def maskable_kernels(layer):
    """Map paths to the kernels that are masked by default.

    Args:
        layer: built Keras layer; sublayers are searched too.
    """
    return {c.path: c.kernel for c in candidates(layer) if c.by_default}


def decays(variable):
    """Say whether L2 regularisation covers a trainable variable.

    It covers kernels of every kind: rank 2 or more and no bias.
    """
    return len(variable.shape) >= 2 and "bias" not in variable.name


@keras.saving.register_keras_serializable(package="rigl_tf")
class MaskedModel(keras.Model):
    """A subclassed model with masks: a model around one `Masked`.

    Args:
        masked: `Masked`, built, with a model inside.
        **kwargs: as `keras.Model`.
    """

    transparent_path = True

    def __init__(self, masked, **kwargs):
        kwargs.setdefault("name", masked.name)
        kwargs.setdefault("dtype", masked.dtype_policy)
        super().__init__(**kwargs)
        self.masked = masked
        self.built = masked.built
        _call_alike(self, masked.layer)

    @property
    def layer(self):
        """The wrapper, which holds the masks."""
        return self.masked

    def call(self, *args, **kwargs):
        """Call the model inside."""
        return self.masked(*args, **kwargs)

    def get_build_config(self):
        """Return the build configuration of the model inside."""
        return self.masked.layer.get_build_config()

    def build_from_config(self, config):
        """Build the model inside, and its masks."""
        self.masked.build_from_config(config)

    def get_config(self):
        """Return the configuration; the model inside must have one."""
        masked = keras.saving.serialize_keras_object(self.masked)
        return {"masked": masked, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Restore from the configuration."""
        masked = keras.saving.deserialize_keras_object(
            config["masked"], custom_objects=custom_objects
        )
        return cls(masked, name=config["name"])


def build_inside(layer, config):
    """Build a layer from a build configuration, if it is not built.

    Raises:
        TypeError: Keras cannot build it so.
    """
    if layer.built or config is None:
        return
    own_build = type(layer).build is not keras.layers.Layer.build
    if layer._layers and not own_build and not isinstance(layer, keras.Model):
        try:
            _build_by_call(layer, config)
        except (KeyError, TypeError):  # several inputs: its first call does
            return
    else:
        with warnings.catch_warnings():
            # What Keras cannot build, it warns of and leaves.
            unbuilt = ".*cannot be built automatically"
            warnings.filterwarnings("error", unbuilt, UserWarning)
            try:
                layer.build_from_config(config)
            except UserWarning as warning:
                raise TypeError(str(warning)) from warning
    layer.built = True


def _build_by_call(layer, config):
    """Build a layer that has layers inside, but no `build` of its own."""
    layer(
        keras.tree.map_shape_structure(
            lambda shape: keras.KerasTensor(shape, layer.input_dtype),
            config["input_shape"],
        )
    )


def _call_alike(wrapper, layer):
    """Let Keras pass to a wrapper what it would pass to the layer inside.

    Keras reads from signatures whether to pass `training`, `mask` or
    `initial_state` on.
    """
    wrapper._call_signature = inspect.signature(layer.call)
    wrapper._call_has_training_arg = layer._call_has_training_arg
    wrapper._call_has_mask_arg = layer._call_has_mask_arg
    wrapper.supports_masking = layer.supports_masking


def _mask_attribute(path):
    return path.replace("/", "_") + "_mask"
