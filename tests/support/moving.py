"""One update of one kernel, made by the updater that all methods share."""

import dataclasses
import types

import tensorflow as tf

from rigl_tf import updaters
from rigl_tf.masks import patterns


@dataclasses.dataclass(kw_only=True)
class _Given(updaters.DropAndGrow):
    """Drops and grows by the pair of scores that stands for a gradient."""

    @property
    def needs(self):
        return dataclasses.replace(super().needs, batch=True)

    def drop_scores(self, kernel, gradient, step):
        return gradient[0]

    def grow_scores(self, kernel, gradient, step):
        return gradient[1]


def drop_and_grow(mask, drop, grow, fraction, pattern=patterns.UNSTRUCTURED):
    """Return `(new mask, grown)` of an update with given scores.

    Args:
        mask: tensor of zeros and ones, of the shape of the kernel; any dtype.
        drop: tensor like `mask`; large keeps.
        grow: tensor like `mask`; large grows.
        fraction: drop fraction, float or scalar tensor.
        pattern: `shapes.Pattern`.
    """
    mask = tf.convert_to_tensor(mask)
    kernel = types.SimpleNamespace(
        path="kernel",
        kernel=types.SimpleNamespace(shape=mask.shape),
        mask=types.SimpleNamespace(value=mask),
        pattern=pattern,
    )
    updater = _Given(drop_fraction=lambda step: fraction)
    (change,) = updater.changes([kernel], [(drop, grow)], tf.constant(0))
    return change.mask, change.grown
