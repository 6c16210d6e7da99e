"""Small sets of JPEG images on disk, as tensorflow_datasets prepares them."""

import io
import types

import tensorflow as tf
import tensorflow_datasets as tfds


def builder(path, examples, n_classes):
    """Write images; return what reads them as a prepared data set.

    Args:
        path: of the file, to be written; train and validation split in one.
        examples: list of `(bytes of a JPEG, label)`.
        n_classes: labels are below it.
    """
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=n_classes),
        }
    )
    with tf.io.TFRecordWriter(str(path)) as writer:
        for image, label in examples:
            example = {"image": io.BytesIO(image), "label": label}
            writer.write(
                features.serialize_example(features.encode_example(example))
            )
    split = types.SimpleNamespace(
        num_examples=len(examples), filepaths=[str(path)]
    )
    info = types.SimpleNamespace(
        features=features, splits={"train": split, "validation": split}
    )
    return types.SimpleNamespace(info=info)
