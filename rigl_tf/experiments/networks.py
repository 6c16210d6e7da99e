"""Build the data set and the networks of an experiment."""

from collections.abc import Iterator
import functools
import math
from typing import Any

import keras
import numpy as np

from rigl_tf import accounting
from rigl_tf import datasets
from rigl_tf.accounting import widths
from rigl_tf.experiments.experiment import Experiment
from rigl_tf.layers import initializers
from rigl_tf.layers import kernel_masks
from rigl_tf.layers import masking
from rigl_tf.layers import model_paths
from rigl_tf.masks import counts
from rigl_tf.masks import patterns

# Largest relative difference between the density of given masks and the one
# that `sparsity` asks for: structured masks are rounded.
_TOLERANCE = 0.1


def create_dataset(experiment: Experiment) -> Any:
    """Return the data set, or random examples of its shapes."""
    dataset = experiment.dataset()
    return datasets.FakeDataset(dataset) if experiment.fake_data else dataset


def examples(
    dataset: Any, split: str, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the inputs and labels of a split once, batch by batch.

    Args:
        dataset: the data set.
        split: "train", without augmentation, or "test".
        batch_size: number of examples in a batch; fewer in the last one.
    """
    if split == "test":  # what every data set has
        batches = dataset.test(batch_size)
    else:
        batches = dataset.in_order(split, batch_size)
    for inputs, labels, weights in batches:
        kept = weights.numpy() > 0  # others fill the last batch
        yield inputs.numpy()[kept], labels.numpy()[kept]


class Networks:
    """The networks of an experiment: dense, masked, and for comparison.

    Args:
        experiment: the settings.
        dataset: the data set, for the shape of its inputs and the number of
            its classes; no examples are read.
    """

    def __init__(self, experiment: Experiment, dataset: Any):
        self._experiment = experiment
        self._input_shape = dataset.input_shape
        self._n_classes = dataset.n_classes
        self._pattern = patterns.get(experiment.pattern)

    @functools.cached_property
    def width(self) -> float:
        """Width multiplier of the network that is trained."""
        width = self._experiment.width
        if not isinstance(width, str):
            return width

        def count_zeros(net: keras.Model) -> int:
            shapes = self._planned_counts(net, self._targets(net))
            return sum(math.prod(shape) - active for shape, active in shapes)

        return widths.rival_width(width, self.dense, count_zeros)

    def dense(self, width: float) -> keras.Model:
        """Build the dense network of a width.

        Args:
            width: width multiplier.

        Raises:
            ValueError: if it does not give one logit per class.
        """
        scaled = {} if width == 1 else {"width": width}
        net = self._experiment.model(
            self._input_shape, self._n_classes, **scaled
        )
        shape = net.outputs[0].shape
        if shape[-1] != self._n_classes:
            raise ValueError(
                f"`model` must give one logit per class, {self._n_classes}. "
                f"Received: outputs of shape {tuple(shape)}"
            )
        return net

    def for_training(self) -> keras.Model:
        """Build the network to train, with its first weights and masks.

        Training without an updater takes the dense network.
        """
        experiment, width = self._experiment, self.width
        start = experiment.start
        keras.utils.set_random_seed(start.weights_seed(experiment.seed))
        net = self.dense(width)
        start.restore_weights(net)
        if experiment.updater is None:
            return net
        given = self._given_masks()
        if given is None:
            net = masking.sparsify(
                net,
                **self._sparsity_arguments(),
                pattern=self._pattern,
                compute=experiment.compute,
                first_mask=(
                    "dense"
                    if experiment.updater.needs.dense_start
                    else "random"
                ),
                seed=experiment.seed,
            )
        else:
            net = masking.with_masks(net, given, self._pattern)
        if start.sparse_init is not None:
            kernels = kernel_masks.masked_kernels(net)
            initializers.initialize(kernels, start.sparse_init, experiment.seed)
        return net

    def reference(self, rule: str = "exact") -> accounting.ModelCount | None:
        """Count the dense network of width 1, with which costs are compared.

        Args:
            rule: as in `accounting.count`.

        Returns:
            The costs, or None if the network has width 1 itself.
        """
        if self.width == 1:
            return None
        return accounting.count(self.dense(1), rule=rule)

    def planned_sparsities(self, net: keras.Model) -> dict[str, float]:
        """Return the sparsity that each mask will have, without drawing masks.

        Args:
            net: result of `dense`.

        Returns:
            A dictionary from kernel path to sparsity; empty for dense training.
        """
        if self._experiment.updater is None:
            return {}
        given = self._given_masks()
        if given is not None:
            return {
                path: counts.sparsity_of(max(mask.sum(), 1), mask.size)
                for path, mask in given.items()
            }
        targets = self._targets(net)
        if self._pattern == patterns.UNSTRUCTURED:
            return targets
        planned = self._planned_counts(net, targets)
        return {
            path: counts.sparsity_of(n_active, math.prod(shape))
            for path, (shape, n_active) in zip(targets, planned)
        }

    def _targets(self, net: keras.Model) -> dict[str, float]:
        """Return the target sparsity of each kernel, by path."""
        return masking.target_sparsities(net, **self._sparsity_arguments())

    def _planned_counts(
        self, net: keras.Model, targets: dict[str, float]
    ) -> list[tuple[tuple[int, ...], int]]:
        """List `(kernel shape, active weights)` of each target."""
        variables = model_paths.variables_by_path(net)
        shapes = {path: tuple(variables[path].shape) for path in targets}
        self._pattern.check_sparsities(shapes, targets)
        return [
            (shape, self._pattern.n_active(shape, targets[path]))
            for path, shape in shapes.items()
        ]

    def _given_masks(self) -> dict[str, Any] | None:
        """Return the masks of another run, or None to draw new ones."""
        experiment = self._experiment
        if not experiment.start.gives_masks(experiment.updater):
            return None
        given = experiment.start.read_masks(self._pattern, experiment.seed)
        if given is None or experiment.sparsity is None:
            return given
        size = sum(mask.size for mask in given.values())
        density = sum(int(mask.sum()) for mask in given.values()) / size
        wanted = 1 - experiment.sparsity
        if abs(density - wanted) > _TOLERANCE * wanted:
            raise ValueError(
                "`sparsity` must match the given masks; SPARSITY=None takes "
                f"theirs. Received: sparsity={experiment.sparsity}, masks of "
                f"{1 - density:.4f}"
            )
        return given

    def _sparsity_arguments(self) -> dict[str, Any]:
        """Return the arguments of `masking.target_sparsities`."""
        experiment = self._experiment
        return {
            "sparsity": experiment.sparsity,
            "distribution": experiment.distribution,
            "custom": experiment.custom_sparsities,
            "masked_layers": experiment.masked_layers,
            "dense_layers": experiment.dense_layers,
        }
