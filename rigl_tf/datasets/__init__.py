"""Data sets as `tf.data` pipelines, reproducible and resumable."""

from rigl_tf.datasets.arrays import ArrayDataset
from rigl_tf.datasets.arrays import Split
from rigl_tf.datasets.cifar import cifar10
from rigl_tf.datasets.cifar import cifar100
from rigl_tf.datasets.digits import digits
from rigl_tf.datasets.extreme_labels import extreme_labels
from rigl_tf.datasets.fake import FakeDataset
from rigl_tf.datasets.imagenet import imagenet2012
from rigl_tf.datasets.imagenette import imagenette
from rigl_tf.datasets.jpeg_images import ImageDataset
from rigl_tf.datasets.mnist import mnist
from rigl_tf.datasets.text import TextDataset
from rigl_tf.datasets.text import plain_text
from rigl_tf.datasets.text import wikitext2
from rigl_tf.datasets.text import wikitext103

__all__ = [
    "ArrayDataset",
    "FakeDataset",
    "ImageDataset",
    "Split",
    "TextDataset",
    "cifar10",
    "cifar100",
    "digits",
    "extreme_labels",
    "imagenet2012",
    "imagenette",
    "mnist",
    "plain_text",
    "wikitext103",
    "wikitext2",
]
