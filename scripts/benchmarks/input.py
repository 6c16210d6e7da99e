"""Measure how fast examples come out of the input pipelines.

All candidates take turns in each round, so that a busy machine slows them
alike; rates are medians. Needs TFDS_DATA_DIR with cifar10 and imagenet2012
prepared. Prints a Markdown table.

    python scripts/benchmarks/input.py --rounds 5
"""

import argparse
import itertools
import os
import statistics
import time

import common
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from rigl_tf import datasets
from rigl_tf import text_tables

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_SIZE = (375, 500)


def rate(batches, n_examples):
    """Return examples per second of an iterator of batches."""
    began, n_seen = time.monotonic(), 0
    while n_seen < n_examples:
        n_seen += len(next(batches)[1])
    return n_seen / (time.monotonic() - began)


def cifar(data_dir):
    """Return pipelines of CIFAR-10: ours, and the bare ones of TFDS."""
    bare = tfds.load(
        "cifar10", split="train", data_dir=data_dir, as_supervised=True
    )
    return {
        "CIFAR-10, TFDS alone": bare.repeat().batch(128),
        "CIFAR-10, TFDS with cache()": bare.cache().repeat().batch(128),
        "CIFAR-10, ours, augmented": datasets.cifar10(data_dir).train(128, 0),
    }


def crops():
    """Return pipelines over one 500x375 JPEG: crop decoding, full decoding."""
    rng = np.random.default_rng(0)
    # Smooth, as photographs are: noise would cost more to decode.
    coarse = tf.constant(rng.uniform(0, 255, (12, 16, 3)).astype(np.float32))
    image = tf.cast(tf.image.resize(coarse, _SIZE, "bicubic"), tf.uint8)
    jpeg = tf.io.encode_jpeg(image)

    def window(draw):
        corner, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            [*_SIZE, 3],
            tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            seed=tf.stack([0, draw]),
            area_range=(0.08, 1.0),
        )
        return tf.concat([corner[:2], size[:2]], 0)

    def crop(draw):
        image = tf.image.decode_and_crop_jpeg(jpeg, window(draw), channels=3)
        return tf.image.resize(image, (224, 224), "bicubic"), draw

    def full(draw):
        top, left, height, width = tf.unstack(window(draw))
        image = tf.image.decode_jpeg(jpeg, channels=3)
        image = image[top : top + height, left : left + width]
        return tf.image.resize(image, (224, 224), "bicubic"), draw

    draws = tf.data.Dataset.range(1 << 30).map(lambda n: tf.cast(n, tf.int32))
    return {
        f"500x375 JPEG, {name}": draws.map(function, tf.data.AUTOTUNE).batch(64)
        for name, function in (
            ("crop decoded", crop),
            ("decoded, then cropped", full),
        )
    }


def main():
    """Measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data_dir", help="default TFDS_DATA_DIR")
    arguments = parser.parse_args()
    data_dir = arguments.data_dir or os.environ.get("TFDS_DATA_DIR")
    pipelines = {
        **{name: (p, 20_000) for name, p in cifar(data_dir).items()},
        **{name: (p, 512) for name, p in crops().items()},
        "ImageNet, ours, 224x224": (
            datasets.imagenet2012(data_dir).train(64, 0),
            512,
        ),
    }
    iterators = {name: iter(p) for name, (p, _) in pipelines.items()}
    # The cached one must have seen its data once.
    list(itertools.islice(iterators["CIFAR-10, TFDS with cache()"], 400))
    rates = {name: [] for name in pipelines}
    for _ in range(arguments.rounds):
        for name, (_, n_examples) in pipelines.items():
            rates[name].append(rate(iterators[name], n_examples))
    rows = [[n, f"{statistics.median(v):,.0f}"] for n, v in rates.items()]
    print(text_tables.markdown(["pipeline", "examples/s"], rows))
    print(f"\n{common.software()}")


if __name__ == "__main__":
    main()
