"""The wrapper that gives the kernels of a layer their masks."""

import inspect

import keras

from rigl_tf import checks
from rigl_tf.layers import building
from rigl_tf.layers import candidates
from rigl_tf.layers import constraint
from rigl_tf.layers import guards
from rigl_tf.layers import model_paths
from rigl_tf.masks import draws
from rigl_tf.masks import patterns

# The last axes of these are not inputs and outputs: no patterns for them.
OTHER_AXES = (
    keras.layers.EinsumDense,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)


class _Transparent:
    """Mixin: attributes that the wrapper lacks are those of the layer inside.

    So `model.get_layer("h").units` means the same with masks as without.
    """

    transparent_path = True

    def __getattr__(self, name):
        inside = self.__dict__.get("layer") or self.__dict__.get("masked")
        if name.startswith("_") or inside is None:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
            )
        return getattr(inside, name)


@keras.saving.register_keras_serializable(package="rigl_tf")
class Masked(_Transparent, keras.layers.Wrapper):
    """Own one mask for each maskable kernel of the layer inside.

    The wrapper does no arithmetic: inactive weights *are* zero, so the layer
    inside computes what it always did, and the gradient of a kernel is the
    dense gradient. Masks are non-trainable variables, saved and loaded with
    the model.

    Args:
        layer: layer, or whole model, with at least one maskable kernel.
        sparsities: optional dictionary from the path of a kernel inside the
            layer to its target sparsity, kept with the masks.
        pattern: shape of the masks, see `masks.patterns.get`; kept with them.
        first_mask: masks to begin with: "dense", all ones, or "random", as
            sparse as the targets. The configuration of a layer whose masks are
            sparse says "random": `keras.models.clone_model` draws others.
        **kwargs: as `keras.layers.Layer`; name and dtype default to those of
            `layer`.
    """

    def __init__(
        self,
        layer,
        sparsities=None,
        pattern="unstructured",
        first_mask="dense",
        **kwargs,
    ):
        checks.one_of("first_mask", first_mask, ("dense", "random"))
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self._kernel_paths = []
        self.sparsities = dict(sparsities or {})
        self.pattern = patterns.get(pattern)
        self.first_mask = first_mask
        # Keras reads from signatures which shapes to build with, and whether
        # to pass `training`, `mask` or `initial_state` on.
        self.build.__signature__ = inspect.signature(layer.build)
        building.call_alike(self, layer)

    def __setattr__(self, name, value):
        inside = self.__dict__.get("layer")
        is_own = name in self.__dict__ or hasattr(type(self), name)
        if inside is None or is_own or name.startswith("_"):
            super().__setattr__(name, value)
        elif hasattr(inside, name):
            setattr(inside, name, value)
        else:
            super().__setattr__(name, value)

    def build(self, *args, **kwargs):
        """Build the layer inside, if needed, and one mask of ones per kernel.

        Raises:
            ValueError: the layer has no maskable kernel.
        """
        if not self.layer.built:
            self.layer.build(*args, **kwargs)
            self.layer.built = True
        # A loaded layer may be frozen: its targets say which kernels it masks.
        found = model_paths.variables_by_path(self.layer)
        paths = [path for path in self.sparsities if path in found]
        self._kernel_paths = paths or list(
            candidates.maskable_kernels(self.layer)
        )
        if not self._kernel_paths:
            raise ValueError(
                "`Masked` needs a layer with a kernel of rank 2 or more; and "
                "with a `build` of its own, if it calls layers on several "
                f"inputs. Received: {self.layer.name!r} "
                f"({type(self.layer).__name__})"
            )
        guards.refuse_changes_of_kernels(
            self.layer, [found[path] for path in self._kernel_paths]
        )
        for path in self._kernel_paths:
            kernel = found[path]
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
            kernel.constraint = constraint.MaskConstraint(
                mask, kernel.constraint
            )
        self.built = True
        if self.first_mask == "random":
            self._draw_masks()

    def _draw_masks(self):
        for path, kernel, mask in self.masked():
            draw = draws.stateless_seed(0, f"{self.name}/{path}", "first_mask")
            shape = tuple(kernel.shape)
            n_units = self.pattern.n_units(shape, self.sparsities[path])
            scores = draws.uniform_scores(shape, draw)
            mask.assign(self.pattern.top(scores, n_units))
            kernel.assign(kernel.value * mask.value)

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
        building.build_inside(self.layer, config)
        self.build()

    def get_config(self):
        """Return the configuration, targets included."""
        config = super().get_config()
        config["layer"].pop("build_config", None)  # `build_inside` builds it
        is_sparse = self.built and any(
            (mask.numpy() == 0).any() for _, _, mask in self.masked()
        )
        has_targets = self.sparsities.keys() >= set(self._kernel_paths)
        return {
            **config,
            "sparsities": dict(self.sparsities),
            "pattern": str(self.pattern),
            "first_mask": "random" if is_sparse and has_targets else "dense",
        }

    def quantize(self, *args, **kwargs):
        """Refuse, as the layer inside does: masks are for floats."""
        guards.refuse(self.name, "quantize")

    def load_own_variables(self, store):
        """Load the masks.

        Raises:
            ValueError: these are weights of a model without masks.
        """
        guards.require_masks(store, [mask for _, _, mask in self.masked()])
        super().load_own_variables(store)

    def masked(self):
        """List `(path inside the layer, kernel, mask)` of each kernel."""
        found = model_paths.variables_by_path(self.layer)
        return [
            (path, found[path], getattr(self, _mask_attribute(path)))
            for path in self._kernel_paths
        ]


@keras.saving.register_keras_serializable(package="rigl_tf")
class MaskedModel(_Transparent, keras.Model):
    """A subclassed model with masks: a model around one `Masked`.

    Args:
        masked: `Masked`, built, with a model inside.
        **kwargs: as `keras.Model`.
    """

    def __init__(self, masked, **kwargs):
        kwargs.setdefault("name", masked.name)
        kwargs.setdefault("dtype", masked.dtype_policy)
        super().__init__(**kwargs)
        self.masked = masked
        self.built = masked.built
        building.call_alike(self, masked.layer)

    @property
    def layer(self):
        """The wrapper, which holds the masks."""
        return self.masked

    def quantize(self, *args, **kwargs):
        """Refuse: masks are for floats."""
        guards.refuse(self.name, "quantize")

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


def _mask_attribute(path):
    return path.replace("/", "_") + "_mask"
