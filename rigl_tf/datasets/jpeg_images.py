"""Data sets of JPEG images, decoded, cropped and resized batch by batch."""

import functools
import os
from typing import Literal

import numpy as np
import tensorflow as tf

from rigl_tf import checks
from rigl_tf.datasets import sharding
from rigl_tf.datasets import tfds_source

_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32) * 255
_SHUFFLE_BLOCK = 1024
_EPOCH_SEEDS = 1 << 32  # between the seeds of two epochs


class ImageDataset:
    """A data set of JPEG images that are read when they are needed.

    Args:
        name: name in tensorflow_datasets; the splits are "train" and
            "validation".
        n_classes: number of classes.
        data_dir: directory of prepared data sets, see `imagenet2012`.
        size: height and width of the images.
        on_damage: "error" or "skip", see `imagenet2012`.

    Attributes:
        name: name in tensorflow_datasets.
        input_shape: shape of one image, [height, width, 3].
        n_classes: number of classes.
    """

    def __init__(
        self,
        name: str,
        n_classes: int,
        data_dir: str | os.PathLike | None = None,
        size: int = 224,
        on_damage: Literal["error", "skip"] = "error",
    ):
        checks.at_least("size", size, 1, integer=True)
        checks.one_of("on_damage", on_damage, ("error", "skip"))
        self.name: str = name
        self._on_damage = on_damage
        self.input_shape: tuple[int, ...] = (size, size, 3)
        self.n_classes: int = n_classes
        self._data_dir = data_dir

    @functools.cached_property
    def _builder(self):
        return tfds_source.builder(self.name, self._data_dir)

    @property
    def n_train(self) -> int:
        """Number of training examples."""
        return self._builder.info.splits["train"].num_examples

    def check(self, batch_size: int) -> None:
        """Require that the data set is prepared and has enough examples."""
        for name in ("train", "validation"):
            if not self._builder.info.splits[name].num_examples:
                raise ValueError(
                    f"The split {name!r} of {self.name!r} must hold at least "
                    "one example. Received: none; prepare it again"
                )
        checks.batch_size(batch_size, self.n_train, self.name)

    def train(
        self,
        batch_size: int,
        seed: int,
        n_skip: int = 0,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return the endless, shuffled training batches `(inputs, labels)`.

        Order, crops and flips of an epoch depend only on (seed, epoch). The
        last, partial batch of an epoch is dropped.

        Args:
            batch_size: global batch size, in [1, n_train].
            seed: seed of the order, crops and flips.
            n_skip: number of batches that were consumed already; those of the
                current epoch are read, but not decoded.
            context: input context, see `ArrayDataset.train`. Every host reads
                all records, and decodes its own.
        """
        self.check(batch_size)
        n_epoch = self.n_train // batch_size * batch_size
        epoch, n_done = divmod(n_skip * batch_size, n_epoch)
        files = [str(f) for f in self._builder.info.splits["train"].filepaths]

        def decoded(epoch, index, record):
            draw = tf.stack([_EPOCH_SEEDS * epoch + seed, index])
            return self._decoded(record, draw)

        epochs = tf.data.Dataset.range(epoch, np.iinfo(np.int32).max)
        records = (
            epochs.flat_map(lambda e: _records(files, n_epoch, seed, e))
            .skip(n_done)
            .filter(
                lambda _, index, __: sharding.is_mine(
                    index, batch_size, context
                )
            )
        )
        if self._on_damage == "skip":
            examples = self._passing_over_damage(records, decoded)
        else:
            examples = records.map(
                decoded, tf.data.AUTOTUNE, deterministic=True
            )
        size = context.get_per_replica_batch_size(batch_size)
        return (
            examples.batch(size, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
            .apply(sharding.ENDLESS)
        )

    def _passing_over_damage(self, records, decoded):
        """Decode records; replace each damaged image by the next one.

        All other images keep their places in the order, so that a resumed run
        gets the same batches.
        """
        numbered = records.enumerate().map(
            lambda number, record: (number, *decoded(*record)),
            tf.data.AUTOTUNE,
            deterministic=True,
        )
        return (
            numbered.ignore_errors()
            .scan(
                np.int64(0),
                lambda expected, found: _note_gap(self.name, expected, found),
            )
            .flat_map(
                lambda n, *example: tf.data.Dataset.from_tensors(
                    example
                ).repeat(n)
            )
        )

    def test(
        self,
        batch_size: int,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return the test batches `(inputs, labels, weights)`.

        See `ArrayDataset.test` for the arguments.
        """
        return self.in_order("test", batch_size, context)

    def in_order(
        self,
        split: sharding.Split,
        batch_size: int,
        context: tf.distribute.InputContext = sharding.EVERYTHING,
    ) -> tf.data.Dataset:
        """Return all images of a split once, cropped at the center.

        See `ArrayDataset.in_order` for the arguments.
        """
        name = {"train": "train", "test": "validation"}[split]
        stored = self._builder.info.splits[name]
        n_examples = stored.num_examples
        records = tf.data.TFRecordDataset([str(f) for f in stored.filepaths])
        filling = records.take(1).repeat(-n_examples % batch_size)

        def weighted(index, record):
            image, label = self._decoded(record)
            return image, label, tf.cast(index < n_examples, tf.float32)

        return (
            records.concatenate(filling)
            .enumerate()
            .filter(
                lambda index, _: sharding.is_mine(index, batch_size, context)
            )
            .map(weighted, tf.data.AUTOTUNE, deterministic=True)
            .batch(
                context.get_per_replica_batch_size(batch_size),
                drop_remainder=True,
            )
            .prefetch(tf.data.AUTOTUNE)
        )

    def _decoded(self, record, draw=None):
        """Decode one record; crop and flip at random if there is a draw."""
        import tensorflow_datasets as tfds

        example = self._builder.info.features.deserialize_example(
            record, decoders={"image": tfds.decode.SkipDecoding()}
        )
        jpeg, label = example["image"], tf.cast(example["label"], tf.int32)
        shape = tf.io.extract_jpeg_shape(jpeg)
        if draw is None:
            window = self._central_window(shape)
        else:
            window = _random_window(shape, draw)
            # If no window is found, crop the center, as in the original code.
            is_whole = tf.reduce_all(window[2:] == shape[:2])
            window = tf.where(is_whole, self._central_window(shape), window)
        image = tf.image.decode_and_crop_jpeg(jpeg, window, channels=3)
        image = tf.image.resize(image, self.input_shape[:2], "bicubic")
        if draw is not None:
            image = tf.image.stateless_random_flip_left_right(image, draw)
        return (image - _MEAN) / _DEVIATION, label

    def _central_window(self, shape):
        """Return the window of evaluation: 224 of 256 pixels, in proportion."""
        size = self.input_shape[0]
        side = tf.cast(tf.minimum(shape[0], shape[1]), tf.float32)
        side = tf.cast(side * (size / (size + 32)), tf.int32)
        corner = (shape[:2] - side) // 2
        return tf.stack([*tf.unstack(corner), side, side])


def _records(files, n_epoch, seed, epoch):
    """Return `(epoch, index, record)` of an epoch, in shuffled order."""
    order = _shuffled(tf.constant(files), seed, epoch, -1)
    records = tf.data.Dataset.from_tensor_slices(order).interleave(
        tf.data.TFRecordDataset, cycle_length=16
    )
    # `Dataset.shuffle` would depend on the global seed too.
    records = (
        records.batch(_SHUFFLE_BLOCK)
        .enumerate()
        .map(lambda number, block: _shuffled(block, seed, epoch, number))
        .unbatch()
    )
    indices = tf.data.Dataset.range(n_epoch)
    return tf.data.Dataset.zip(indices, records).map(
        lambda index, record: (epoch, index, record)
    )


def _note_gap(name, expected, numbered):
    """Print how many examples are missing before one, and count them.

    Args:
        name: name of the data set.
        expected: number of the next example.
        numbered: `(number, *example)` of the next example that was decoded.

    Returns:
        The new state of `Dataset.scan`, and how often to repeat the example,
        with the example.
    """
    number, *example = numbered
    n_missing = number - expected
    if_missing = tf.cond(
        n_missing > 0,
        lambda: tf.print(
            "rigl_tf: passed over", n_missing, f"damaged image(s) of {name}"
        ),
        tf.no_op,
    )
    with tf.control_dependencies([if_missing]):
        return number + 1, (n_missing + 1, *example)


def _shuffled(items, seed, epoch, number):
    """Shuffle a block of an epoch."""
    draw = tf.stack([_EPOCH_SEEDS * epoch + seed, number])
    return tf.random.experimental.stateless_shuffle(items, draw, alg="philox")


def _random_window(shape, draw):
    """Draw a window [top, left, height, width] as in the original code."""
    corner, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=draw,
        min_object_covered=0.1,
        aspect_ratio_range=(3 / 4, 4 / 3),
        area_range=(0.08, 1.0),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([corner[:2], size[:2]], 0)
