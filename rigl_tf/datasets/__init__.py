"""tf.data pipelines that know nothing of models."""

from rigl_tf.datasets.arrays import ArrayDataset
from rigl_tf.datasets.arrays import Split
from rigl_tf.datasets.cifar import cifar10
from rigl_tf.datasets.cifar import cifar100
from rigl_tf.datasets.digits import digits
from rigl_tf.datasets.imagenet import ImageDataset
from rigl_tf.datasets.imagenet import imagenet2012
from rigl_tf.datasets.imagenet import imagenette
from rigl_tf.datasets.mnist import mnist

__all__ = [
    "ArrayDataset",
    "ImageDataset",
    "Split",
    "cifar10",
    "cifar100",
    "digits",
    "imagenet2012",
    "imagenette",
    "mnist",
]
