"""The Keras wrappers that own the masks of a layer or a subclassed model."""

from collections.abc import Mapping
import inspect
from typing import Any
from typing import Literal
from typing import NoReturn
from typing import Self

import keras

from rigl_tf import checks
from rigl_tf.layers import building
from rigl_tf.layers import candidates
from rigl_tf.layers import constraint
from rigl_tf.layers import guards
from rigl_tf.layers import model_paths
from rigl_tf.masks import draws
from rigl_tf.masks import patterns

# Layers whose last axes are not inputs and outputs, so patterns do not apply.
OTHER_AXES = (
    keras.layers.EinsumDense,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)


class _Transparent:
    """Mixin that looks up missing attributes on the layer inside.

    `model.get_layer("h").units` has the same value with masks as without.
    """

    transparent_path: bool = True

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
    inside computes the same as without masks, and the gradient of a kernel is
    the dense gradient. Masks are non-trainable variables, saved and loaded with
    the model.

    Args:
        layer: layer or whole model with at least one maskable kernel.
        sparsities: optional dictionary from the path of a kernel inside the
            layer to its target sparsity, saved with the masks.
        pattern: sparsity pattern of the masks, see `masks.patterns.get`; saved
            with them.
        first_mask: initial masks: "dense", all ones, or "random", as sparse as
            the targets. The configuration of a layer with sparse masks contains
            "random": `keras.models.clone_model` draws new ones.
        **kwargs: arguments of `keras.layers.Layer`; name and dtype default to
            those of `layer`.

    Attributes:
        sparsities: dictionary from the path of a kernel inside the layer to its
            target sparsity.
        pattern: the sparsity pattern.
        first_mask: how `build` chooses the masks.
    """

    def __init__(
        self,
        layer: keras.Layer,
        sparsities: Mapping[str, float] | None = None,
        pattern: str | patterns.Pattern = "unstructured",
        first_mask: Literal["dense", "random"] = "dense",
        **kwargs: Any,
    ):
        checks.one_of("first_mask", first_mask, ("dense", "random"))
        kwargs.setdefault("name", layer.name)
        kwargs.setdefault("dtype", layer.dtype_policy)
        super().__init__(layer, **kwargs)
        self._kernel_paths: list[str] = []
        self.sparsities: dict[str, float] = dict(sparsities or {})
        self.pattern: patterns.Pattern = patterns.get(pattern)
        self.first_mask: str = first_mask
        # Keras reads from the signature of `build` which shapes to pass.
        signature = inspect.signature(layer.build)
        self.build.__signature__ = signature  # type: ignore[attr-defined]
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

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Build the layer inside, if needed, and create the masks.

        Args:
            *args: arguments of `build` of the layer inside.
            **kwargs: keyword arguments of the same.

        Raises:
            ValueError: if the layer has no maskable kernel.
        """
        if not self.layer.built:
            self.layer.build(*args, **kwargs)
            self.layer.built = True
        # A loaded layer may be frozen: `sparsities` then lists its kernels.
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
                dtype="bool",
                initializer="ones",
                trainable=False,
                autocast=False,
                # Each replica writes its own copy: updates depend only on
                # reduced gradients and stateless random numbers.
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
            kernel.assign(keras.ops.where(mask, kernel, 0.0))

    @property
    def metrics(self) -> list:
        """No metrics: Keras finds those of a layer inside on its own.

        Metrics that a compiled model inside keeps for its own training do not
        belong to the training of the model around it.
        """
        return []

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer inside."""
        return self.layer(*args, **kwargs)

    def compute_mask(self, *args: Any, **kwargs: Any) -> Any:
        """Return the time-step mask that the layer inside computes."""
        return self.layer.compute_mask(*args, **kwargs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return the output specification of the layer inside."""
        return self.layer.compute_output_spec(*args, **kwargs)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the build configuration of the layer inside."""
        return self.layer.get_build_config()

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer inside, if needed, and create the masks."""
        building.build_inside(self.layer, config)
        self.build()

    def get_config(self) -> dict[str, Any]:
        """Return the configuration, including the target sparsities."""
        config = super().get_config()
        config["layer"].pop("build_config", None)  # see `build_inside`
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

    def quantize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ValueError: masks are for floating-point kernels."""
        guards.refuse(self.name, "quantize")

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Load the masks.

        Args:
            store: mapping from "0", "1", ... to arrays.

        Raises:
            ValueError: if the weights are those of a model without masks.
        """
        guards.require_masks(store, [mask for _, _, mask in self.masked()])
        super().load_own_variables(store)

    def masked(self) -> list[tuple[str, keras.Variable, keras.Variable]]:
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
        masked: built `Masked` with a model inside.
        **kwargs: arguments of `keras.Model`.

    Attributes:
        masked: the wrapper, which owns the masks.
    """

    def __init__(self, masked: Masked, **kwargs: Any):
        kwargs.setdefault("name", masked.name)
        kwargs.setdefault("dtype", masked.dtype_policy)
        super().__init__(**kwargs)
        self.masked: Masked = masked
        self.built = masked.built
        building.call_alike(self, masked.layer)

    @property
    def layer(self) -> Masked:
        """The wrapper, which owns the masks."""
        return self.masked

    def quantize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ValueError: masks are for floating-point kernels."""
        guards.refuse(self.name, "quantize")

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the model inside."""
        return self.masked(*args, **kwargs)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the build configuration of the model inside."""
        return self.masked.layer.get_build_config()

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the model inside, and its masks."""
        self.masked.build_from_config(config)

    def get_config(self) -> dict[str, Any]:
        """Return the configuration; the model inside must have one."""
        masked = keras.saving.serialize_keras_object(self.masked)
        return {"masked": masked, "name": self.name}

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any],
        custom_objects: dict[str, Any] | None = None,
    ) -> Self:
        """Restore a model from its configuration."""
        masked = keras.saving.deserialize_keras_object(
            config["masked"], custom_objects=custom_objects
        )
        return cls(masked, name=config["name"])


def _mask_attribute(path):
    return path.replace("/", "_") + "_mask"
