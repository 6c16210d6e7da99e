"""What every method decides in one scene, as digests; run as a script too."""

import hashlib
import json

import keras
import method_rows
import numpy as np
import tensorflow as tf

from rigl_tf.layers import kernel_masks
from rigl_tf.masks import draws
from rigl_tf.masks import patterns


def scene(method, pattern, dtype="float32"):
    """Build an updater, two kernels in mid-training, and their gradients."""
    updater, shape = method.build(), patterns.get(pattern)
    kernels, gradients = [], []
    for number, size in enumerate([(12, 8), (2, 4, 6)]):
        rng = np.random.default_rng(number)
        path = f"layer{number}/kernel"
        mask = np.ones(size, "float32")
        if not updater.needs.dense_start:
            draw = draws.stateless_seed(0, path, "first_mask")
            scores = draws.uniform_scores(size, draw)
            mask = shape.top(scores, shape.n_units(size, 0.5)).numpy()
        weights = (rng.normal(size=size) * mask).astype(dtype)
        kernels.append(
            kernel_masks.MaskedKernel(
                path,
                keras.Variable(weights),
                keras.Variable(mask, trainable=False, dtype="bool"),
                0.5,
                shape,
            )
        )
        gradients.append(tf.constant(rng.normal(size=size).astype(dtype)))
    updater.build(kernels)
    updater.observe(kernels, gradients, tf.constant(4, tf.int64))
    return updater, kernels, gradients if updater.needs.batch else None


def digests():
    """Map method and pattern to a digest of the new masks."""
    found = {}
    for method, pattern in method_rows.EACH_SHAPE:
        # What a method draws depends on paths, not on the pattern.
        others = method.name not in ("set", "rigl")
        if not method.updates or (others and pattern != method.shapes[0]):
            continue
        updater, kernels, gradients = scene(method, pattern)
        step = tf.constant(5, tf.int64)
        changes = updater.changes(kernels, gradients, step)
        data = b"".join(change.mask.numpy().tobytes() for change in changes)
        key = f"{method.name} {pattern}"
        found[key] = hashlib.sha256(data).hexdigest()
    return found


if __name__ == "__main__":
    print(json.dumps(digests()))
